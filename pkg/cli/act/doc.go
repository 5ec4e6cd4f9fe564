// Package act is what commands have in common that change something: a message that says why, the plan that is shown first, a person who agrees
// to it, and who that person is. It knows the terminal and the hub, and nothing of what is done.
package act
