// Package haproxy runs a real HAProxy for tests: it finds or fetches the program, and starts and ends processes of it that listen on loopback only. It imports
// nothing of the product but where programs are cached.
package haproxy
