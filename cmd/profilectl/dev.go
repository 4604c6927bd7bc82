package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
)

func devCommand() *cobra.Command {
	var ephemeral bool
	var logLevel string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Runs Postgres, broker, migrations, seed data and the API in one process tree",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := observability.NewLogger(os.Stderr, logLevel)
			if err != nil {
				return fmt.Errorf("--log-level: %w", err)
			}
			return devstack.Run(cmd.Context(), devstack.Options{
				Ephemeral: ephemeral, Env: os.Environ(), Getenv: os.Getenv, Out: cmd.OutOrStdout(), Log: log,
			})
		},
	}
	cmd.Flags().BoolVar(&ephemeral, "ephemeral", false, "use a private database that is removed at the end")
	cmd.Flags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}
