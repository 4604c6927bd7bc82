package devpg

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

// state is what one Start leaves for the next, in a file that only its owner can read.
type state struct {
	Secrets secrets `json:"secrets"`
	Data    string  `json:"data"`    // the candidate.data used last; empty before the first start
	Port    int     `json:"port"`    // used last, preferred next
	Volume  string  `json:"volume"`  // Docker volume of the data, once Docker was the candidate
	Running address `json:"running"` // empty while booting; a stale one does no harm, see attach
}

// secrets are the passwords of the three roles. They are base32 text, safe in URLs.
type secrets struct {
	Super string `json:"super"`
	Owner string `json:"owner"`
	App   string `json:"app"`
}

func (s secrets) of(role string) string {
	return map[string]string{superRole: s.Super, ownerRole: s.Owner, appRole: s.App}[role]
}

// address is where a server listens; Pid is 0 when the postmaster is not visible from here.
type address struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	Pid  int    `json:"pid"`
}

func (a address) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// urls builds the connection URLs of a server of ours.
func urls(a address, s secrets) func(role, database string) string {
	return func(role, database string) string {
		if database == "" {
			database = profileDatabase
		}
		u := url.URL{
			Scheme:   "postgres",
			User:     url.UserPassword(role, s.of(role)),
			Host:     a.String(),
			Path:     "/" + database,
			RawQuery: "sslmode=disable",
		}
		return u.String()
	}
}

// loadState reads the state of dir; a directory without one gets a new state with new passwords.
func loadState(dir string) (state, error) {
	path := filepath.Join(dir, "state.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return state{Secrets: secrets{Super: rand.Text(), Owner: rand.Text(), App: rand.Text()}}, nil
	}
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return state{}, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return s, nil
}

// save replaces the state of dir in one step, readable by its owner only. The caller holds the lock.
func (s state) save(dir string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "state.json")
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
