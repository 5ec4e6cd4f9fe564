// Package stages names the API group stages.periplus.dev: the rollout stages, their policies (Target, GuardSet), people's answers (Approval) and the record of a release (Release).
package stages

// GroupName is the API group.
const GroupName = "stages.periplus.dev"
