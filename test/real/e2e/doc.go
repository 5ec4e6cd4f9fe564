// Package e2e tells stories of in-place changes on real kubelets, with real containers: on the fleet that PERIPLUS_FLEET names, whose nodes are real and have
// the images of test/real/images. It is built with the tag e2ereal; `make e2e-real` brings such a fleet up, runs it, and ends the fleet.
package e2e
