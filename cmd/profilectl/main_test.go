package main

import (
	"testing"

	"github.com/lingo-services/profile/test/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
