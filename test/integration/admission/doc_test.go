//go:build integration

// Package admission tries on a real API server what config/hub and config/member promise: each attack and each ordinary use is one sentence.
// Attacks are made by dave, whose RBAC allows him everything in the namespace, so that what refuses them is the policy and nothing else; every
// refusal is recognised by the name of its policy and by its words.
package admission
