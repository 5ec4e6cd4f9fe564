// Package load sends requests at a steady rate, whatever becomes of those before, and keeps account of every one: for tests that want no request to fail while pods
// are changed. Requests go to an address, such as a load balancer's, or as a kube-proxy would send them: to the addresses that a Service's EndpointSlices list,
// known some time late. There are requests on connections of their own, requests on kept connections, and long ones.
//
// What is counted and where requests go are plain values (Tally, Mix, Fixed, Followed); Run and Follow do the I/O.
package load
