package intervene

import stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"

// howAll is what the commands have in common.
const howAll = `Before it acts it shows what it would touch, and asks; --yes does it without asking, --dry-run only shows it. What you did
is recorded on the hub with your name, the time and --message. It ends with exit code 0 once it is recorded, or where it
is so already, and with 1 where it is refused, where you do not say yes, or where there is nobody to ask.`

type help struct{ use, short, long, example string }

var helps = map[stages.Action]help{
	stages.ActionPause: {
		use:   "pause RUN --message TEXT",
		short: "Hold a release where it is",
		long: `Hold a release where it is: each of its stages stops before its next move, and those that follow make none. Pods whose
update has begun finish it. It holds until somebody resumes it.`,
		example: `  periplus pause productpage-v2 --message "errors in dca, looking"`,
	},
	stages.ActionResume: {
		use:     "resume RUN --message TEXT",
		short:   "Let a release that is paused go on",
		long:    `Let a release that is paused go on where it stopped. What a freeze stops is not resumed but unfrozen.`,
		example: `  periplus resume productpage-v2 --message "it was the cron job"`,
	},
	stages.ActionRetry: {
		use:   "retry RUN --message TEXT",
		short: "Carry a release that failed on, in a new run",
		long: `Carry a release that failed on: a new run of the same pipeline, with the same params, joins the release and goes on at
the stages that did not succeed. What succeeded is not done again. It is for runs that are over, did not succeed, and
were not taken back.`,
		example: `  periplus retry productpage-v2 --message "the registry is back"`,
	},
	stages.ActionSkip: {
		use:   "skip RUN --stage NAME --message TEXT",
		short: "End a stage as if it had succeeded",
		long: `End a stage that runs as if it had succeeded: what it has not moved yet it does not move, its guards are not judged any
more, and the pipeline goes on behind it. A stage that asks people cannot be skipped: it is answered.`,
		example: `  periplus skip productpage-v2 --stage soak-m1 --message "urgent fix, dca watched by hand"`,
	},
	stages.ActionAbort: {
		use:   "abort RUN --message TEXT",
		short: "End a release where it is",
		long: `End a release where it is: its stages end, what they have not moved yet is held back, and no further stage begins but
those of the pipeline's finally. To have what was touched taken back, use rollback.`,
		example: `  periplus abort productpage-v2 --message "wrong image"`,
	},
	stages.ActionRollback: {
		use:   "rollback [RUN] --message TEXT",
		short: "Take back what a release touched",
		long: `Take back what a release touched, newest first, under the limits that it was carried by. A run that still goes on is ended
first. With --member only what was touched in some members goes back, by a run that is made for it, and the run is not
ended.

With --from-members, for a hub that has lost its records, there is no RUN: what was touched is read from the locks that the
release of that name left on workloads in the members.`,
		example: `  periplus rollback productpage-v2 --message "v2 stays sick"
  periplus rollback productpage-v2 --member m2 --message "only m2 is sick"
  periplus rollback --from-members --release productpage-v2-1a2b3c4d --message "the hub was built anew"`,
	},
}
