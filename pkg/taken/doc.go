// Package taken keeps the limits of one application between the controllers of one process. Two of them may take pods of it out of service: that of its InPlaceSet, and
// that of a SidecarSet. Each sees what the other wrote only when its own watch brings it, and in between both would take the last place of a limit, or of a
// disruption budget.
//
// A Register has the pods that are being taken, from the decision until the watch by which the others judge shows them out of service. Decisions are made one after
// the other under its lock, and count what is in it as out of service already. All of it may be lost with the process: a new one has no writes under way. Controllers
// that share it lead together (see pkg/loop), so there is no second process with a Register of its own.
//
// It imports only apimachinery, the API types of pods, and of ours pkg/inplace and pkg/apis.
package taken
