package pgcontainer_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// dockerDaemon speaks as much of Docker's API as testcontainers uses. It runs nothing; its one container is
// published on port 49153 of the address that was asked for.
type dockerDaemon struct {
	t      *testing.T
	silent bool   // accepts and never answers
	pull   string // why no image can be had

	mu      sync.Mutex
	calls   []string
	name    string
	created struct {
		container.Config
		HostConfig container.HostConfig
	}
}

const gateway = "127.0.0.5"

// listen serves the API on a socket and returns the variable that names it.
func (d *dockerDaemon) listen() string {
	d.t.Helper()
	dir, err := os.MkdirTemp("", "pgcontainer-") // the path of a socket has to be short
	require.NoError(d.t, err)
	d.t.Cleanup(func() { assert.NoError(d.t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(d.t, err)
	api := httptest.NewUnstartedServer(d)
	require.NoError(d.t, api.Listener.Close())
	api.Listener = l
	api.Start()
	d.t.Cleanup(api.Close)
	return "DOCKER_HOST=unix://" + socket
}

func (d *dockerDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.silent {
		<-r.Context().Done()
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, path, versioned := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	if !versioned {
		path = r.URL.Path
	}
	call := r.Method + " " + strings.TrimPrefix(path, "/")
	d.calls = append(d.calls, call)
	w.Header().Set("Api-Version", "1.47")
	w.Header().Set("Content-Type", "application/json")
	bridge := map[string]any{"Name": "bridge", "Id": "bridge", "IPAM": map[string]any{"Config": []map[string]string{{"Gateway": gateway}}}}
	switch call {
	case "HEAD _ping", "GET _ping":
	case "GET info":
		d.answer(w, http.StatusOK, map[string]any{"OperatingSystem": "Test"})
	case "GET networks":
		d.answer(w, http.StatusOK, []any{bridge})
	case "GET networks/bridge":
		d.answer(w, http.StatusOK, bridge)
	case "GET containers/json":
		d.answer(w, http.StatusOK, []any{})
	case "GET images/postgres:16-alpine/json":
		d.answer(w, http.StatusOK, map[string]any{"Id": "sha256:c0ffeec0ffee", "Config": map[string]any{}})
	case "POST images/create":
		d.answer(w, http.StatusForbidden, map[string]string{"message": d.pull}) // what the library does not try again
	case "POST containers/create":
		d.name = r.URL.Query().Get("name")
		assert.NoError(d.t, json.NewDecoder(r.Body).Decode(&d.created))
		d.answer(w, http.StatusCreated, map[string]any{"Id": "c0ffeec0ffee"})
	case "POST containers/c0ffeec0ffee/start", "POST containers/c0ffeec0ffee/stop", "DELETE containers/c0ffeec0ffee":
		w.WriteHeader(http.StatusNoContent)
	case "GET containers/c0ffeec0ffee/json":
		d.answer(w, http.StatusOK, d.inspect())
	default:
		http.Error(w, `{"message":"not part of this test: `+call+`"}`, http.StatusNotFound)
	}
}

func (d *dockerDaemon) answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	assert.NoError(d.t, json.NewEncoder(w).Encode(body))
}

func (d *dockerDaemon) inspect() map[string]any {
	return map[string]any{
		"Id":         "c0ffeec0ffee",
		"State":      map[string]any{"Running": true, "Status": "running"},
		"Config":     map[string]any{"Env": d.created.Env},
		"HostConfig": map[string]any{"NetworkMode": "bridge"},
		"NetworkSettings": map[string]any{
			"Ports": map[string]any{"5432/tcp": []map[string]string{{"HostIp": d.created.HostConfig.PortBindings["5432/tcp"][0].HostIP, "HostPort": "49153"}}},
		},
	}
}

const withoutHelper = "TESTCONTAINERS_RYUK_DISABLED=true"

// What testcontainers asks a daemon to run for us, and that it is removed.
func TestRequest(t *testing.T) {
	t.Parallel()
	daemon := &dockerDaemon{t: t}
	spec := devpg.ContainerSpec{Password: "s3cr3t", Volume: "lingo-profile-x", Settings: []string{"fsync=off", "timezone=UTC"}}
	a, done := run(t, spec, daemon.listen(), withoutHelper, "TESTCONTAINERS_HOST_OVERRIDE=localhost")
	require.Empty(t, a.Err)
	assert.Equal(t, "127.0.0.1", a.Host)
	assert.Equal(t, 49153, a.Port)
	done()

	daemon.mu.Lock()
	defer daemon.mu.Unlock()
	removed, made := "DELETE containers/lingo-profile-x", "POST containers/create"
	require.Contains(t, daemon.calls, removed)
	assert.Less(t, slices.Index(daemon.calls, removed), slices.Index(daemon.calls, made), "never two containers on one volume")
	created := daemon.created
	assert.Equal(t, "postgres:16-alpine", created.Image)
	assert.Equal(t, "lingo-profile-x", daemon.name)
	assert.Equal(t, []string{"postgres", "-c", "fsync=off", "-c", "timezone=UTC"}, []string(created.Cmd))
	assert.Contains(t, created.Env, "POSTGRES_PASSWORD=s3cr3t")
	assert.Contains(t, created.Env, "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256")
	assert.Equal(t, []mount.Mount{{Type: mount.TypeVolume, Source: "lingo-profile-x", Target: "/var/lib/postgresql/data"}}, created.HostConfig.Mounts)
	assert.Contains(t, daemon.calls, "POST containers/c0ffeec0ffee/stop")
	assert.Contains(t, daemon.calls, "DELETE containers/c0ffeec0ffee")
}

// The port is published where this process reaches it and nowhere else.
func TestPublishesOnOneAddress(t *testing.T) {
	t.Parallel()
	here := "127.0.0.1"
	if _, err := os.Stat("/.dockerenv"); err == nil {
		here = gateway
	}
	for name, tc := range map[string]struct {
		env  []string
		want string
	}{
		"AsItIs":         {nil, here},
		"Localhost":      {[]string{"TESTCONTAINERS_HOST_OVERRIDE=localhost"}, "127.0.0.1"},
		"AnotherAddress": {[]string{"TESTCONTAINERS_HOST_OVERRIDE=127.0.0.7"}, "127.0.0.7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			daemon := &dockerDaemon{t: t}
			a, done := run(t, devpg.ContainerSpec{}, append(tc.env, daemon.listen(), withoutHelper)...)
			require.Empty(t, a.Err)
			done()
			assert.Equal(t, tc.want, a.Host)
			bindings := daemon.created.HostConfig.PortBindings
			require.Len(t, bindings, 1)
			require.Len(t, bindings["5432/tcp"], 1)
			assert.Equal(t, tc.want, bindings["5432/tcp"][0].HostIP)
			assert.Empty(t, daemon.created.HostConfig.Mounts)
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		daemon *dockerDaemon
		env    []string
		absent bool
		want   []string
		not    string
	}{
		"SilentDaemon": {
			daemon: &dockerDaemon{silent: true}, env: []string{withoutHelper}, absent: true,
			want: []string{"not available: no Docker daemon answers within 2s: ", "deadline exceeded"},
		},
		"NoHelperImage": {
			daemon: &dockerDaemon{pull: "not allowed from here"},
			want: []string{
				"run the helper that removes the container when this process is killed: ", "not allowed from here",
				"; TESTCONTAINERS_RYUK_DISABLED=true does without it",
			},
		},
		"UnknownHost": {
			daemon: &dockerDaemon{}, env: []string{withoutHelper, "TESTCONTAINERS_HOST_OVERRIDE=docker.invalid"},
			want: []string{"docker host: lookup docker.invalid"}, not: "RYUK",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.daemon.t = t
			a, done := run(t, devpg.ContainerSpec{}, append(tc.env, tc.daemon.listen())...)
			done()
			for _, want := range tc.want {
				assert.Contains(t, a.Err, want)
			}
			if tc.not != "" {
				assert.NotContains(t, a.Err, tc.not)
			}
			assert.Equal(t, tc.absent, a.Absent)
			assert.Less(t, a.Took, 20*time.Second)
		})
	}
}
