package boot

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/leaderelection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/observability"
	k8sruntime "knative.dev/pkg/observability/runtime/k8s"
	"knative.dev/pkg/signals"
	"knative.dev/pkg/system"
	"knative.dev/pkg/version"
)

// DefaultThreads is how many keys a controller works on at once where neither it nor the environment says. A reconcile of ours mostly waits for
// the API server, so this is well above the number of cores.
const DefaultThreads = 16

// How long a lost leader is waited for. Shorter than knative's 60 s, as with the cluster's own controllers: a release stands still meanwhile.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// shutdownPatience is how long the last metrics and probes get at the end.
const shutdownPatience = 5 * time.Second

// Run starts the binary called name with these controllers, and returns when SIGTERM or SIGINT ended it. It exits the process with
// code 1 and one line that says why when it cannot start or has to stop.
func Run(name string, ctors ...injection.ControllerConstructor) {
	RunWithContext(signals.NewContext(), name, ctors...)
}

// RunWithContext is Run with a context that already carries what injection needs before it makes informers, such as the label
// selectors of filtered ones. It ends when ctx does.
func RunWithContext(ctx context.Context, name string, ctors ...injection.ControllerConstructor) {
	opts := options{}
	opts.bind(flag.CommandLine)
	flag.Parse()
	if err := run(ctx, name, opts, ctors); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string, opts options, ctors []injection.ControllerConstructor) error {
	if err := defaultEnvironment(); err != nil {
		return err
	}
	cfg, err := opts.restConfig(name)
	if err != nil {
		return err
	}
	probes, err := listenForProbes(ctx, opts.health)
	if err != nil {
		return err
	}
	observe, err := opts.observability(ctx)
	if err != nil {
		return err
	}
	ctx = observability.WithConfig(ctx, observe)

	ctx, ends := withEnds(ctx)
	defer ends.run()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, startInformers := injection.EnableInjectionOrDie(ctx, cfg)
	if err := version.CheckMinimumVersion(kubeclient.Get(ctx).Discovery()); err != nil {
		return fmt.Errorf("asking %s for its version: %w", cfg.Host, err)
	}

	logger, level := sharedmain.SetupLoggerOrDie(ctx, name)
	defer func() { _ = logger.Sync() }()
	ctx = logging.WithLogger(ctx, logger)
	klog.SetLogger(zapr.NewLogger(logger.Desugar()))
	rest.SetDefaultWarningHandler(&logging.WarningHandler{Logger: logger})

	// Never served: the set-up of metrics wants one to hand its configuration to.
	profiling := k8sruntime.NewProfilingServer(logger)
	meters, tracers := sharedmain.SetupObservabilityOrDie(ctx, name, logger, profiling)
	defer func() {
		last, cancel := context.WithTimeout(context.Background(), shutdownPatience)
		defer cancel()
		if err := errors.Join(meters.Shutdown(last), tracers.Shutdown(last)); err != nil {
			logger.Errorw("Handing over the last metrics and traces", zap.Error(err))
		}
	}()

	if ctx, err = electLeader(ctx, name, opts.disableHA); err != nil {
		return err
	}
	configMaps := sharedmain.SetupConfigMapWatchOrDie(ctx, logger)
	controllers, _ := sharedmain.ControllersAndWebhooksFromCtors(ctx, configMaps, ctors...)
	sharedmain.WatchLoggingConfigOrDie(ctx, configMaps, logger, level, name)
	if err := configMaps.Start(ctx.Done()); err != nil {
		return fmt.Errorf("watching ConfigMaps in %s: %w", system.Namespace(), err)
	}

	group, ctx := errgroup.WithContext(ctx)
	if probes != nil {
		group.Go(func() error { return probes.serve(ctx) })
	}
	startInformers()
	group.Go(func() error { return drive(ctx, ends, controllers) })
	probes.ready()
	logger.Infow("Started", "controllers", len(controllers), "leader election", !opts.disableHA)
	if err := group.Wait(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drive runs controllers until ctx ends and the keys they work on by then are done, and then what was to be done at the end.
func drive(ctx context.Context, ends *ends, controllers []*controller.Impl) error {
	defer ends.run()
	if err := controller.StartAll(ctx, controllers...); err != nil {
		return fmt.Errorf("running controllers: %w", err)
	}
	return nil
}

// defaultEnvironment sets what knative reads from the environment, where the user did not.
func defaultEnvironment() error {
	if os.Getenv(system.NamespaceEnvKey) == "" {
		if err := os.Setenv(system.NamespaceEnvKey, "periplus-system"); err != nil {
			return fmt.Errorf("setting %s: %w", system.NamespaceEnvKey, err)
		}
	}
	controller.DefaultThreadsPerController = DefaultThreads
	if v := os.Getenv("K_THREADS_PER_CONTROLLER"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return fmt.Errorf("K_THREADS_PER_CONTROLLER is %q: must be a number, 1 or more", v)
		}
		controller.DefaultThreadsPerController = n
	}
	return nil
}

func electLeader(ctx context.Context, name string, disabled bool) (context.Context, error) {
	if disabled {
		return ctx, nil
	}
	kube := kubeclient.Get(ctx)
	cm, err := kube.CoreV1().ConfigMaps(system.Namespace()).Get(ctx, leaderelection.ConfigMapName(), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", system.Namespace(), leaderelection.ConfigMapName(), err)
	}
	election := &leaderelection.Config{Buckets: 1, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod}
	if err == nil {
		if election, err = leaderelection.NewConfigFromConfigMap(cm); err != nil {
			return nil, fmt.Errorf("ConfigMap %s/%s: %w", system.Namespace(), leaderelection.ConfigMapName(), err)
		}
	}
	return leaderelection.WithDynamicLeaderElectorBuilder(ctx, kube, election.GetComponentConfig(name)), nil
}
