// Command traffic gives the pods of one member requests, as ConfigMaps there say, and serves the metrics of their answers. It is the part of that name of local fleets.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/periplus-dev/periplus/test/metrics/traffic"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "`file` that reaches the member")
	member := flag.String("member", "", "`name` of the member, a label of its pods' metrics")
	address := flag.String("address", "", "host and port to serve on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := play(ctx, *kubeconfig, *member, *address); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func play(ctx context.Context, kubeconfig, member, address string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig of %s: %w", member, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client of %s: %w", member, err)
	}
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, time.Now().UTC().Format(time.RFC3339)+" "+format+"\n", args...)
	}
	seed := rand.Uint64() // #nosec G404 -- printed.
	say("seed of all requests: %d", seed)
	apps, err := traffic.Listen(address, map[string]kubernetes.Interface{member: client}, seed)
	if err != nil {
		return err
	}
	if err := apps.Follow(ctx, client, say); err != nil {
		return err
	}
	<-ctx.Done()
	return apps.Close()
}
