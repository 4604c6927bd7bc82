package test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) {
	// The state machine talks to a database: rapid's hundred cases would take minutes. -rapid.checks wins.
	if err := flag.Set("rapid.checks", "12"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testkit.Main(m)
}
