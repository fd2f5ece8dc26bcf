static size_t rounded(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* What an argument is, now that addresses are known; the caller's arrays come with each run. */
static int64_t value_of(const NAME_net *net, int n)
{
    int64_t number = arguments[n].number;

    switch (arguments[n].kind) {
    case 1:
        return (int64_t)(intptr_t)net->arena + number;
    case 2:
        return (int64_t)(intptr_t)net->workspace + number;
    case 3:
        return (int64_t)(intptr_t)net->weights + number;
    case 4:
        return (int64_t)(intptr_t)net->told + number;
    default:
        return number;
    }
}

NAME_net *NAME_create(PARAMETERS)
{
    NAME_net *net;
    char *next;
    size_t bytes;
    int n;

    last_error[0] = 0;
    if (check_processor() != 0)
        return NULL;
    if (threads < 1) {
        fail("%s: at least one thread is needed", "NAME_create");
        return NULL;
    }
    net = calloc(1, sizeof *net);
    if (net == NULL) {
        fail("%s: no memory", "NAME_create");
        return NULL;
    }
    net->threads = threads;
    if (make_team(net) != 0) {
        NAME_destroy(net);
        return NULL;
    }
    bytes = rounded(ARENA_BYTES) + rounded(WORKSPACE_BYTES)
            + rounded((size_t)SCRATCH_BYTES * (size_t)net->threads) + rounded(MORE_BYTES) + 64;
    net->memory = calloc(1, bytes + 64);
    if (net->memory == NULL) {
        fail("%s: no memory for the net's values", "NAME_create");
        NAME_destroy(net);
        return NULL;
    }
    next = net->memory + (64 - (uintptr_t)net->memory % 64) % 64;
    net->arena = next;
    next += rounded(ARENA_BYTES);
    net->workspace = next;
    next += rounded(WORKSPACE_BYTES);
    net->scratch = next;
    next += rounded((size_t)SCRATCH_BYTES * (size_t)net->threads);
    SET_WEIGHTS
    for (n = 0; n < ARGUMENTS; n++)
        net->values[n] = value_of(net, n);
    return net;
}
