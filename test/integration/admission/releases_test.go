//go:build integration

package admission

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const moved = `{"status":{"phase":"Succeeded","released":true}}`

var records = []attempt{
	{name: "our controller makes, writes and deletes a record", try: func(ctx context.Context, t *testing.T) error {
		r := made(t, controller, release())
		if err := controller.patchStatus(ctx, releases, r.GetName(), moved); err != nil {
			return err
		}
		return controller.delete(ctx, r)
	}},
	{name: "a user cannot make a record", try: func(ctx context.Context, t *testing.T) error {
		_, err := dave.create(ctx, release())
		return err
	}, refused: []string{"a Release is written", "periplus-controller"}},
	{name: "a user cannot write a record's status", try: func(ctx context.Context, t *testing.T) error {
		return dave.patchStatus(ctx, releases, made(t, controller, release()).GetName(), moved)
	}, refused: []string{"spec and status", "cancel its PipelineRun"}},
	{name: "the cluster's admin cannot write a record's status", try: func(ctx context.Context, t *testing.T) error {
		return admin.patchStatus(ctx, releases, made(t, controller, release()).GetName(), moved)
	}, refused: []string{"spec and status"}},
	{name: "those who clean up cannot make a record", try: func(ctx context.Context, t *testing.T) error {
		_, err := undertaker.create(ctx, release())
		return err
	}, refused: []string{"spec and status"}},
	{name: "a user cannot give a record an owner, to be collected with it", try: func(ctx context.Context, t *testing.T) error {
		return dave.merge(ctx, made(t, controller, release()), `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"1"}]}}`)
	}, refused: []string{"a Release is written"}},
	{name: "a user cannot delete a record", try: func(ctx context.Context, t *testing.T) error {
		return dave.delete(ctx, made(t, controller, release()))
	}, refused: []string{"deleted by the controller only"}},
	{name: "a user cannot delete all records at once", try: func(ctx context.Context, t *testing.T) error {
		made(t, controller, release())
		return dave.on(releases).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	}, refused: []string{"deleted by the controller only"}},
	{name: "a namespace that ends takes its records along", try: func(ctx context.Context, t *testing.T) error {
		return undertaker.delete(ctx, made(t, controller, release()))
	}},
	{name: "the garbage collector takes a finalizer off", try: func(ctx context.Context, t *testing.T) error {
		r := release()
		r.SetFinalizers([]string{"example.dev/keep"})
		return collector.merge(ctx, made(t, controller, r), `{"metadata":{"finalizers":null}}`)
	}},
	{name: "those who clean up cannot write what a record says", try: func(ctx context.Context, t *testing.T) error {
		return undertaker.patchStatus(ctx, releases, made(t, controller, release()).GetName(), moved)
	}, refused: []string{"spec and status"}},
}
