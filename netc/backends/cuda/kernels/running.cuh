// The averages that a BatchNorm keeps, with a batch's added: new = keep * old + share * the batch's mean,
// and + share * (unbiased * the batch's variance + term) (batch_norm_layer.cpp). A thread makes a channel.

KERNEL KERNEL_NAME(const float* means, const float* variances, const float* old_means,
                   const float* old_variances, value_t* new_means, value_t* new_variances,
                   float keep, float share, float unbiased, float term, int count) {
    FOR_EACH(i, count) {
        store(new_means + i, keep * old_means[i] + share * means[i]);
        float seen = unbiased * variances[i] + term;
        store(new_variances + i, keep * old_variances[i] + share * seen);
    }
}
