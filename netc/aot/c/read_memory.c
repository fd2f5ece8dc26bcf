static int read_weights(const void *weights, long bytes, void *memory)
{
    if (weights == NULL || bytes != 64 + (long)WEIGHTS_BYTES
        || memcmp(weights, weights_head, sizeof weights_head) != 0)
        return fail("%s: these are not the weights of this library", "NAME_create");
    memcpy(memory, (const char *)weights + 64, WEIGHTS_BYTES);
    return 0;
}
