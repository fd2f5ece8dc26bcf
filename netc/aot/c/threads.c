#include <pthread.h>
#include <sched.h>

/* Each thread owns an equal range of a step's units and takes chunks of it; one that has finished
 * its own takes from the others'. A step is over when all its units are done, whoever did them, so
 * a thread that wakes late joins in where the others are, and nobody waits for it. Counters only
 * grow: run number r uses counts r * n to (r + 1) * n, so that a thread that still looks at an
 * earlier run finds nothing to take. Results do not depend on who does what. */

enum { LINE = 64, SPINS = 300 };    /* bytes between counters; looks before others are let run */

struct helper {
    struct NAME_net *net;
    pthread_t thread;
    int slot;
};

struct team {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int64_t run, last;     /* the number of the run under way, and of the last that was begun */
    int ending, started;
    char *counters;        /* of each step: one a thread, and one of all that is done */
    struct helper helpers[];
};

static int64_t *counter(NAME_net *net, int step, int slot)
{
    size_t line = (size_t)step * (size_t)(net->threads + 1) + (size_t)slot;
    return (int64_t *)(void *)(net->team->counters + line * LINE);
}

static int64_t take(NAME_net *net, int step, int64_t *taken, int64_t run, int64_t low, int64_t high,
                    char *scratch)
{
    void *result = NULL, *error = NULL;
    int64_t base = run * (high - low), done = 0;

    for (;;) {
        int64_t count = __atomic_load_n(taken, __ATOMIC_ACQUIRE);
        int64_t left = high - low - (count - base), chunk = left / 4;

        if (left <= 0)
            return done;
        if (chunk < steps[step].grain)
            chunk = steps[step].grain;
        if (chunk > left)
            chunk = left;
        if (__atomic_compare_exchange_n(taken, &count, count + chunk, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            int64_t first = low + count - base;
            steps[step].kernel(&result, &error,
                               (int64_t)(intptr_t)&net->values[steps[step].first], first,
                               first + chunk, (int64_t)(intptr_t)scratch);
            done += chunk;
        }
    }
}

static void share_steps(NAME_net *net, int slot, int64_t run)
{
    char *scratch = net->scratch + (size_t)slot * SCRATCH_BYTES;
    int step, k;

    for (step = 0; step < STEPS; step++) {
        int64_t units = steps[step].units, *done = counter(net, step, net->threads);
        int spins = 0;

        for (k = 0; k < net->threads; k++) {
            int owner = (slot + k) % net->threads;
            int64_t low = units * owner / net->threads, high = units * (owner + 1) / net->threads;
            int64_t own = take(net, step, counter(net, step, owner), run, low, high, scratch);
            if (own)
                __atomic_add_fetch(done, own, __ATOMIC_ACQ_REL);
        }
        while (__atomic_load_n(done, __ATOMIC_ACQUIRE) < (run + 1) * units)
            if (++spins > SPINS)
                sched_yield();
    }
}

static void *help(void *given)
{
    struct helper *helper = given;
    struct team *team = helper->net->team;
    int64_t seen = 0;

    for (;;) {
        pthread_mutex_lock(&team->lock);
        while (team->last == seen && !team->ending)
            pthread_cond_wait(&team->wake, &team->lock);
        seen = team->last;
        pthread_mutex_unlock(&team->lock);
        if (team->ending)
            return NULL;
        share_steps(helper->net, helper->slot, __atomic_load_n(&team->run, __ATOMIC_ACQUIRE));
    }
}

static void end_team(NAME_net *net)
{
    struct team *team = net->team;
    int k;

    if (team == NULL)
        return;
    pthread_mutex_lock(&team->lock);
    team->ending = 1;
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    for (k = 0; k < team->started; k++)
        pthread_join(team->helpers[k].thread, NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
    free(team->counters);
    free(team);
    net->team = NULL;
}

static int make_team(NAME_net *net)
{
    size_t helpers = (size_t)net->threads - 1;
    size_t counters = (size_t)STEPS * (size_t)(net->threads + 1) * LINE;
    struct team *team;

    if (helpers == 0)
        return 0;
    team = calloc(1, sizeof *team + helpers * sizeof *team->helpers);
    if (team == NULL)
        return fail("%s", "no memory for threads");
    team->counters = aligned_alloc(LINE, counters);
    if (team->counters == NULL) {
        free(team);
        return fail("%s", "no memory for threads");
    }
    memset(team->counters, 0, counters);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    team->run = -1;
    net->team = team;
    while (team->started < (int)helpers) {
        struct helper *helper = &team->helpers[team->started];
        helper->net = net;
        helper->slot = team->started + 1;
        if (pthread_create(&helper->thread, NULL, help, helper) != 0)
            return fail("%s", "a thread cannot be started");
        team->started++;
    }
    return 0;
}

static void run_steps(NAME_net *net)
{
    struct team *team = net->team;
    void *result = NULL, *error = NULL;
    int step;

    if (team == NULL) {
        for (step = 0; step < STEPS; step++)
            steps[step].kernel(&result, &error,
                               (int64_t)(intptr_t)&net->values[steps[step].first], 0,
                               steps[step].units, (int64_t)(intptr_t)net->scratch);
        return;
    }
    pthread_mutex_lock(&team->lock);
    __atomic_store_n(&team->run, team->run + 1, __ATOMIC_RELEASE);
    team->last++;
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    share_steps(net, 0, team->run);
}
