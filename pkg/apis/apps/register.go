// Package apps names the API group apps.periplus.dev: the workloads that careful rollouts need.
package apps

// GroupName is the API group.
const GroupName = "apps.periplus.dev"
