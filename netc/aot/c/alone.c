struct team {
    int none;
};

static int make_team(NAME_net *net)
{
    net->threads = 1;
    net->team = NULL;
    return 0;
}

static void end_team(NAME_net *net)
{
    (void)net;
}

static void run_steps(NAME_net *net)
{
    void *result = NULL, *error = NULL;
    int step;

    for (step = 0; step < STEPS; step++)
        steps[step].kernel(&result, &error, (int64_t)(intptr_t)&net->values[steps[step].first], 0,
                           steps[step].units, (int64_t)(intptr_t)net->scratch);
}
