// Package haproxy speaks the runtime API of a running HAProxy, 2.6 or later, about the servers of one backend: what is there, add, enable, drain,
// delete. It imports the standard library only, and holds nothing but the address: what is so is asked anew each time.
//
// Facts are those of HAProxy's management guide ("Unix Socket commands") and of trying them on 2.6.12:
//
//   - A server that was added is in maintenance until it is enabled. Its backend needs a dynamic balance (roundrobin, leastconn, random). Nothing is taken
//     over from default-server, and checks are configured by "check" but start with "enable health".
//   - Where a frontend and a backend have the same name, "show stat" by name is the frontend's.
//   - scur of "show stat" counts requests, in mode tcp connections, that the server has now: neither connections of clients that wait for their next
//     request nor idle connections to the server, whatever http-reuse says.
//   - "del server" is refused unless the server is in maintenance and has no stream, no connection and no queue. It is decided with all threads stopped:
//     where it succeeded nothing is forwarded any more.
//   - "drain" still lets clients in whom a cookie or stick table ties to the server; maintenance does not.
//   - srv_time_since_last_change of "show servers state" starts anew when a server goes to drain, and so tells for how long it drains already.
//   - A process that took over by a reload begins with what its configuration says: servers that were added are not in it.
//
// It is written by hand: the protocol is one line of text each way, and HAProxy's own Go client could not be had from the module proxy when this was written.
package haproxy
