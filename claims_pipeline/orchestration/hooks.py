"""Hooks on every asset, so that they fire however a run was started: they tell Slack and Datadog when a run is through.

Belongs here: noticing that the last step of a run that can still run has ended. Does not belong here: what is said
(alerts) and what a run did (reporting). A hook that fails must not disturb the run: what goes wrong here is logged.

One message a run: each hook looks whether any step is left that will run; the last one tells. A killed run fires no
hook; the run-failure sensor tells of that.
"""

import dagster as dg

from claims_pipeline.errors import safe_text
from claims_pipeline.orchestration.keys import SENDER_TAG
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.tell import tell_run

_LAYERS = ("raw", "validated")


@dg.success_hook(required_resource_keys={"pipeline"})
def tell_of_success(context: dg.HookContext) -> None:
    """After a step that went well: tell, if it was the run's last."""
    _tell_if_last(context, failed=False)


@dg.failure_hook(required_resource_keys={"pipeline"})
def tell_of_failure(context: dg.HookContext) -> None:
    """After a step that failed for good: tell, if nothing else of the run can go on."""
    _tell_if_last(context, failed=True)


def steps_left(planned: set[str], ended: dict[str, bool]) -> set[str]:
    """Steps of a run that have not ended and still will run. Pure.

    Args:
        planned: step keys of the run ("raw__sender__dataset", "validated__...", "sender__dataset").
        ended: steps that ended, and whether well.
    """
    broken = {_feed_of(step) for step, well in ended.items() if not well}
    return {step for step in planned - ended.keys() if _feed_of(step) not in broken}


def _feed_of(step: str) -> str:
    layer, _, rest = step.partition("__")
    return rest if layer in _LAYERS else step


def _tell_if_last(context: dg.HookContext, *, failed: bool) -> None:
    try:
        run = context.instance.get_run_by_id(context.run_id)
        if run is None or run.execution_plan_snapshot_id is None:
            return
        planned = set(context.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute)
        stats = context.instance.get_run_step_stats(run.run_id)
        ended = {s.step_key: s.status.value == "SUCCESS" for s in stats if s.status and s.status.value in _ENDED}
        ended[context.step_key] = not failed
        if steps_left(planned, ended):
            return
        pipeline: PipelineResource = context.resources.pipeline
        broken = sorted(step for step, well in ended.items() if not well)
        error = f"failed: {', '.join(broken)}" if broken else ""
        if failed and isinstance(context.op_exception, dg.Failure):
            error = f"{context.step_key}: {context.op_exception.description}"
        sender = run.tags.get(SENDER_TAG) or _feed_of(context.step_key).partition("__")[0]
        tell_run(pipeline, context.instance, run_id=run.run_id, sender=sender, error=error)
    except Exception as error:
        context.log.error("the run's message was not sent: %s", safe_text(error))


_ENDED = ("SUCCESS", "FAILURE", "SKIPPED")
