// Package fleet names the API group fleet.periplus.dev: the members: clusters that run workloads.
package fleet

// GroupName is the API group.
const GroupName = "fleet.periplus.dev"
