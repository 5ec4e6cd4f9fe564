// Package policy says what ReleasePolicies give to a namespace and what they demand of its runs. Pure: no clients, no clock, no I/O; it imports the
// API types alone. pkg/stage gathers what it judges: the policies, the namespace and the members as the API server has them, the stages of a run
// from the pipeline that Tekton resolved, and who answered from the status that our controller wrote.
package policy
