package localfleet

import (
	"context"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"
)

// upRun is one Up on its way.
type upRun struct {
	layout   Layout
	cred     credentials
	tool     goTool
	progress *Progress
	// install is whether this Up installs Periplus, or leaves it as it is.
	install bool

	mu    sync.Mutex
	state *State
}

// Up brings a fleet up, or repairs the one that is there: parts that live are kept, parts that died or that would be
// started differently now are started. It returns once every part is ready.
func Up(ctx context.Context, opts Options) (*Running, error) {
	opts, err := opts.resolve()
	if err != nil {
		return nil, err
	}
	progress := newProgress(opts.Out)
	defer progress.Close()
	tool, err := findGo()
	if err != nil {
		return nil, err
	}
	u := &upRun{layout: Layout{opts.Dir}, tool: tool, progress: progress, install: !opts.SkipInstall}
	if err := u.layout.make(); err != nil {
		return nil, err
	}
	waited := progress.Begin("wait for another periplus command at work on this fleet")
	unlock, err := lock(ctx, u.layout.lock())
	waited("")
	if err != nil {
		return nil, err
	}
	defer unlock()
	// Again: whoever held the lock may have been taking the fleet down.
	if err := u.layout.make(); err != nil {
		return nil, err
	}
	if u.state, err = readState(u.layout); err != nil {
		return nil, err
	}
	if err := u.state.merge(opts); err != nil {
		return nil, err
	}
	if err := checkDisk(opts.Dir, runDisk, "a fleet"); err != nil {
		return nil, err
	}
	if err := u.prepare(ctx, opts); err != nil {
		return nil, err
	}
	if err := u.start(ctx); err != nil {
		return nil, err
	}
	return Load(opts.Dir)
}

// prepare makes everything that needs no process of the fleet: programs, ports, keys, kubeconfigs, stages.
func (u *upRun) prepare(ctx context.Context, opts Options) error {
	if u.state.RealNodes {
		found, err := realPrograms(thisMachine)
		if err != nil {
			return err
		}
		if err := checkSocketPaths(u.layout, u.state); err != nil {
			return err
		}
		for name, file := range found {
			u.state.Binaries[name] = file
		}
	}
	opts.NodesKind, opts.Triggers, opts.Prometheus = u.state.nodesKind(), u.state.Triggers, u.state.Prometheus
	programs, err := buildAll(ctx, opts, u.progress)
	if err != nil {
		return err
	}
	for name, file := range programs {
		u.state.Binaries[name] = file
	}
	if err := allocatePodNetworks(u.state, opts.Dir, takenNetworks); err != nil {
		return err
	}
	if err := allocatePorts(u.state, opts.Dir, portFree); err != nil {
		return err
	}
	if err := u.save(func(*State) {}); err != nil {
		return err
	}
	if err := writePrometheus(u.layout, u.state); err != nil {
		return err
	}
	if u.cred, err = ensureCredentials(u.layout, u.state); err != nil {
		return err
	}
	if err := writeKubeconfigs(u.layout, u.state, u.cred); err != nil {
		return err
	}
	if u.state.RealNodes {
		return prepareRealNodes(ctx, u.layout, u.state, u.cred)
	}
	return writeStages(u.layout, u.state.Source)
}

// start starts the clusters side by side, then makes the members known to the hub.
func (u *upRun) start(ctx context.Context) error {
	if err := u.ensureAll(ctx, []part{etcdPart(u.layout, u.state)}); err != nil {
		return err
	}
	members := u.state.MemberNames()
	kubeconfigs := make([][]byte, len(members))
	var hub *clusterClient
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		if hub, err = u.startCluster(groupCtx, Hub); err != nil {
			return err
		}
		if err := u.startTekton(groupCtx, hub); err != nil {
			return err
		}
		if u.install {
			if err := u.installHub(groupCtx, hub); err != nil {
				return err
			}
		}
		if err := u.startTriggers(groupCtx, hub); err != nil {
			return err
		}
		u.progress.Say("%s is ready: API server %s, Tekton", Hub, u.state.server(Hub))
		return nil
	})
	for i, name := range members {
		group.Go(func() error {
			member, err := u.startCluster(groupCtx, name)
			if err != nil {
				return err
			}
			if u.install {
				if kubeconfigs[i], err = u.installMember(groupCtx, member); err != nil {
					return err
				}
			}
			if u.state.IsLean(name) {
				u.progress.Say("%s is ready: API server %s, no nodes", name, u.state.server(name))
				return nil
			}
			if err := member.awaitNodes(groupCtx, u.state); err != nil {
				blamed := PartKwok
				if u.state.RealNodes {
					blamed = partKubelet(u.state.Units[0])
				}
				log := u.layout.Log(name, blamed)
				return &partError{part: name + "/" + blamed, log: log, tail: tailLines(log, 15), err: err}
			}
			u.progress.Say("%s is ready: API server %s, %d %s nodes in each of %v", name, u.state.server(name), u.state.Nodes, u.state.nodesKind(), u.state.Units)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := u.ensureAll(ctx, prometheusParts(u.layout, u.state)); err != nil {
		return err
	}
	if !u.install {
		return nil
	}
	for i, name := range members {
		if err := registerMember(ctx, hub, name, u.state.IsLean(name), kubeconfigs[i]); err != nil {
			return err
		}
	}
	return nil
}

// startCluster starts a control plane and, in a member, its nodes.
func (u *upRun) startCluster(ctx context.Context, name string) (*clusterClient, error) {
	if err := os.MkdirAll(dataDir(u.layout, name, PartAPIServer), 0o700); err != nil {
		return nil, fmt.Errorf("making a directory of %s: %w", name, err)
	}
	if err := u.ensureAll(ctx, []part{apiServerPart(u.layout, u.state, name)}); err != nil {
		return nil, err
	}
	client, err := newClusterClient(u.layout, name)
	if err != nil {
		return nil, err
	}
	if name != Hub && !u.state.IsLean(name) && !u.state.RealNodes {
		if err := client.ensureNodes(ctx, u.state); err != nil {
			return nil, err
		}
	}
	if err := u.ensureAll(ctx, kubernetesParts(u.layout, u.state, name)); err != nil {
		return nil, err
	}
	return client, u.startRealNodes(ctx, name)
}

// ensureAll makes parts run, side by side.
func (u *upRun) ensureAll(ctx context.Context, parts []part) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range parts {
		group.Go(func() error {
			done := u.progress.Begin("start " + p.String())
			started, err := ensurePart(ctx, u.layout, u.state, p)
			switch {
			case err != nil || !started:
				done("")
			default:
				done("runs")
			}
			return err
		})
	}
	return group.Wait()
}

// save changes the state and keeps it.
func (u *upRun) save(change func(*State)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u.state)
	return writeState(u.layout, u.state)
}

// Build builds what a fleet needs and nothing else.
func Build(ctx context.Context, opts Options) error {
	opts, err := opts.resolve()
	if err != nil {
		return err
	}
	progress := newProgress(opts.Out)
	defer progress.Close()
	programs, err := buildAll(ctx, opts, progress)
	if err != nil {
		return err
	}
	progress.Say("everything is built: %d programs; commands are in %s", len(programs), BinDir(opts.Source))
	return nil
}

func buildAll(ctx context.Context, opts Options, progress *Progress) (map[string]string, error) {
	builder, err := newBuilder(opts.Source, progress)
	if err != nil {
		return nil, err
	}
	builder.Real, builder.Triggers = opts.NodesKind == Real, opts.Triggers
	programs, err := builder.Build(ctx)
	if err != nil {
		return nil, err
	}
	var wanted []ownProgram
	if !opts.SkipInstall {
		wanted = append(wanted, ownPrograms...)
	}
	if opts.Prometheus {
		wanted = append(wanted, trafficProgram)
		if programs["prometheus"], err = prometheusProgram(ctx, opts.Source, progress); err != nil {
			return nil, err
		}
	}
	if len(wanted) > 0 {
		own, err := buildOwn(ctx, opts.Source, wanted, progress)
		if err != nil {
			return nil, err
		}
		for name, file := range own {
			programs[name] = file
		}
	}
	return programs, linkCommands(opts.Source, programs)
}
