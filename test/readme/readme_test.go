// Package readme runs what the documentation tells people to run.
package readme

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devissuer"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const root = "../.."

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// calls are the calls in a document's shell blocks, each on one line.
func calls(document string) (commands []string) {
	for _, block := range shellBlock.FindAllStringSubmatch(document, -1) {
		joined := strings.ReplaceAll(block[1], "\\\n", " ")
		for line := range strings.Lines(joined) {
			if strings.Contains(line, "grpcurl") || strings.HasPrefix(line, "curl ") {
				commands = append(commands, strings.TrimSpace(line))
			}
		}
	}
	return commands
}

func TestCallsOfTheREADMEWork(t *testing.T) {
	t.Parallel()
	const grpc, http = "127.0.0.1:9000", "127.0.0.1:8000"
	document, err := os.ReadFile(root + "/README.md")
	require.NoError(t, err)
	commands := calls(string(document))
	require.GreaterOrEqual(t, len(commands), 5)
	state := t.TempDir()
	issuer, err := devissuer.Open(state)
	require.NoError(t, err)
	service := testkit.New(t, func(c *confpb.Bootstrap) { issuer.Configure(c.GetAuth()) })
	_, err = devstack.Seed(t.Context(), service.Service)
	require.NoError(t, err)

	for _, command := range commands {
		listeners := service.App.Listeners
		here := strings.NewReplacer(grpc, listeners.GRPC.Addr().String(), http, listeners.HTTP.Addr().String(), "curl -s ", "curl -s --fail ").Replace(command)
		require.NotEqual(t, command, here, "it calls nobody")
		here = strings.ReplaceAll(here, ".bin/profilectl", "go run ./cmd/profilectl")
		bash := exec.CommandContext(t.Context(), "bash", "-c", here)
		bash.Dir, bash.Env = root, append(os.Environ(), "PROFILE_STATE_DIR="+state)
		var problems strings.Builder
		bash.Stderr = &problems

		answer, err := bash.Output()

		require.NoError(t, err, "%s\n%s", command, problems.String())
		var fields map[string]any
		require.NoError(t, json.Unmarshal(answer, &fields), "%s\n%s", command, answer)
		require.NotEmpty(t, fields, command)
	}
}

// variables reads the assignments of a .env file; single quotes are the only quoting it uses.
func variables(t *testing.T, file string) config.Environment {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var env config.Environment
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		require.True(t, found, line)
		env = append(env, name+"="+strings.Trim(value, "'"))
	}
	return env
}

func TestEnvExampleHasEveryKeyOnce(t *testing.T) {
	t.Parallel()
	env := variables(t, root+"/configs/.env.example")

	conf, err := config.Load("", env)
	require.NoError(t, err)
	require.EqualError(t, config.Validate(conf),
		"configuration: cursor.keys[0]: a key of the repository is refused in production; openssl rand -hex 32 makes a good one", "and nothing else is wrong")

	known := config.Variables()
	var wanted, found []string
	for _, key := range known {
		if !slices.Contains(wanted, key) {
			wanted = append(wanted, key)
		}
	}
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		found = append(found, known[name])
	}
	require.ElementsMatch(t, wanted, found)
}

func TestEnvTestIsNoServiceConfiguration(t *testing.T) {
	t.Parallel()
	_, err := config.Load("", variables(t, root+"/configs/.env.test"))
	require.NoError(t, err)
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestConfigurationsOfTheIdentityPageAreValid(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(root + "/docs/identity.md")
	require.NoError(t, err)
	blocks := yamlBlock.FindAllStringSubmatch(string(document), -1)
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		conf, err := config.LoadText("docs/identity.md", []byte(block[1]), config.Environment{
			"DATABASE_URL=postgres://127.0.0.1/profile", "PROFILE_CURSOR_KEYS=0123456789abcdefghijklmnopqrstuv",
		})
		require.NoError(t, err)
		for _, issuer := range conf.GetAuth().GetIssuers() {
			if strings.HasPrefix(issuer.GetHs256Secret(), "change-me") { // as readers are told
				issuer.Hs256Secret = "4fb1c09e7d2a8356e0b94c7d1f6a2835"
			}
		}
		require.NoError(t, config.Validate(conf))
	}
}
