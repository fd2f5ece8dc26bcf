"""The scenarios' names, for who may not import CuPy."""

from __future__ import annotations

FAST = tuple(
    """
    capture_rules implicit_rules launch_rules streams_that_do_not_wait
    split_sum much_shared_memory residual_float32 residual_tf32 residual_fp16 no_graph
    branches_in_lanes array_step_between_graphs recording_that_is_refused
    recording_beside_other_work
    another_stream streams_in_turn weights_of_calls_under_way
    arrays_on_the_device arrays_of_another_type out_of_memory net_dropped_under_way
    two_threads measured_steps devices_command libraries
    golden_few
    """.split()
)
ELSEWHERE = ("two_devices", "no_device")  # with as many devices
FAULTS = {  # and what the driver says before it ends the process
    "freed_twice": "is freed but is not allocated",
    "kernel_without_stand_in": "kernel rule has no stand-in",
    "argument_in_no_memory": "rule: argument 0 is",
    "copy_beyond_memory": "leaves its memory",
}
SLOW = ("tuned", "forks", *(f"golden_{number}" for number in range(8)))
