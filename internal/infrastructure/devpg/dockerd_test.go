package devpg_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// dockerDaemon speaks as much of Docker's API as testcontainers uses. Its one container is a server of ours.
type dockerDaemon struct {
	t      *testing.T
	server *devpg.Server

	mu      sync.Mutex
	calls   []string
	name    string
	created struct {
		container.Config
		HostConfig container.HostConfig
	}
}

// listen serves the API on a socket and returns the value of DOCKER_HOST.
func (d *dockerDaemon) listen() string {
	d.t.Helper()
	socket := filepath.Join(d.t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(d.t, err)
	api := httptest.NewUnstartedServer(d)
	require.NoError(d.t, api.Listener.Close())
	api.Listener = l
	api.Start()
	d.t.Cleanup(api.Close)
	return "unix://" + socket
}

func (d *dockerDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	switch call {
	case "HEAD _ping", "GET _ping":
	case "GET info":
		d.answer(w, http.StatusOK, map[string]any{"OperatingSystem": "Test"})
	case "GET networks":
		d.answer(w, http.StatusOK, []map[string]any{{"Name": "bridge", "Id": "bridge"}})
	case "GET images/postgres:16-alpine/json":
		d.answer(w, http.StatusOK, map[string]any{"Id": "sha256:c0ffeec0ffee", "Config": map[string]any{}})
	case "POST containers/create":
		d.name = r.URL.Query().Get("name")
		assert.NoError(d.t, json.NewDecoder(r.Body).Decode(&d.created))
		d.becomeContainer()
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

// becomeContainer gives the server the password that the container was created with.
func (d *dockerDaemon) becomeContainer() {
	for _, variable := range d.created.Env {
		if password, ok := strings.CutPrefix(variable, "POSTGRES_PASSWORD="); ok {
			execute(d.t, d.server.SuperURL(""), "ALTER ROLE postgres PASSWORD '"+password+"'")
		}
	}
}

func (d *dockerDaemon) inspect() map[string]any {
	u, err := url.Parse(d.server.SuperURL(""))
	assert.NoError(d.t, err)
	return map[string]any{
		"Id":         "c0ffeec0ffee",
		"State":      map[string]any{"Running": true, "Status": "running"},
		"Config":     map[string]any{"Env": d.created.Env},
		"HostConfig": map[string]any{"NetworkMode": "bridge"},
		"NetworkSettings": map[string]any{
			"Ports": map[string]any{"5432/tcp": []map[string]string{{"HostIp": "127.0.0.1", "HostPort": u.Port()}}},
		},
	}
}

// What testcontainers asks a daemon to run for us, and that the result is used and removed.
func TestContainerRequest(t *testing.T) {
	t.Parallel()
	daemon := &dockerDaemon{t: t, server: start(t, devpg.Options{Ephemeral: true})}
	env := []string{bindirVariable + "=", "DOCKER_HOST=" + daemon.listen(), "TESTCONTAINERS_RYUK_DISABLED=true", "TESTCONTAINERS_HOST_OVERRIDE=localhost"}
	p := startProcess(t, processConfig{env: env}, job{Options: processOptions{StateDir: openDir(t)}, NothingInstalled: true})
	r := p.ready()
	assert.Zero(t, r.Pid)
	assert.Contains(t, p.attempts[3], "postgres: docker postgres:16-alpine: started: ")
	assert.Equal(t, "profile_app", query[string](t, r.App, "SELECT current_user::text"))
	p.stop()

	daemon.mu.Lock()
	defer daemon.mu.Unlock()
	removed, made := "DELETE containers/"+daemon.name, "POST containers/create"
	require.Contains(t, daemon.calls, removed)
	assert.Less(t, slices.Index(daemon.calls, removed), slices.Index(daemon.calls, made), "never two containers on one volume")
	created := daemon.created
	assert.Equal(t, "postgres:16-alpine", created.Image)
	assert.Equal(t, []string{"postgres", "-c", "log_timezone=UTC", "-c", "shared_buffers=128MB", "-c", "timezone=UTC"}, []string(created.Cmd))
	assert.Contains(t, created.Env, "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256")
	require.Len(t, created.HostConfig.PortBindings["5432/tcp"], 1)
	assert.Equal(t, "127.0.0.1", created.HostConfig.PortBindings["5432/tcp"][0].HostIP, "loopback only")
	require.Len(t, created.HostConfig.Mounts, 1)
	assert.Equal(t, mount.TypeVolume, created.HostConfig.Mounts[0].Type)
	assert.Equal(t, "/var/lib/postgresql/data", created.HostConfig.Mounts[0].Target)
	assert.Equal(t, daemon.name, created.HostConfig.Mounts[0].Source)
	assert.Contains(t, daemon.name, "lingo-profile-")
	assert.Contains(t, daemon.calls, "POST containers/c0ffeec0ffee/stop")
	assert.Contains(t, daemon.calls, "DELETE containers/c0ffeec0ffee")
}
