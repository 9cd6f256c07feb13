"""How much of each limit is left, in percent: a class behind the bridge for Python."""

from dataclasses import dataclass


@dataclass
class Config:
    warn_below: int = 5  # percent


class Headroom:
    config: Config

    async def execute(self, step, context):
        left = {}
        for finding in context.inputs["verdict"]["findings"]:
            measured, limit = finding["measured"], finding["limit"]
            left[finding["name"]] = int(100 - 100 * measured / limit) if limit > 0 else 0
            if left[finding["name"]] < self.config.warn_below:
                context.log("%(name)s is close to its limit" % finding, level="warning")
        print("computed by Python, for run", context.run_id)
        return left
