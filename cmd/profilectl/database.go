package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/repositories"
)

// databaseURL is the owner's URL: these commands change the schema.
func databaseURL(*cobra.Command) (string, error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return url, nil
	}
	return "", errors.New("DATABASE_URL is not set: give the URL of the schema's owner")
}

// operatedURL is DATABASE_URL, else the database of the development stack that runs here.
func operatedURL(cmd *cobra.Command) (string, error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return url, nil
	}
	server, err := devpg.Running(cmd.Context(), devpg.Options{})
	if err != nil {
		return "", fmt.Errorf("DATABASE_URL is not set and no development stack (make run) was found: %w", err)
	}
	cmd.PrintErrln("DATABASE_URL is not set: this is the development stack's database")
	return server.OwnerURL(""), nil
}

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Creates and changes schema profile (DATABASE_URL)"}
	cmd.AddCommand(
		&cobra.Command{Use: "up", Short: "Applies every missing migration", Args: cobra.NoArgs, RunE: withURL(func(cmd *cobra.Command, url string) error {
			applied, err := postgres.MigrateUp(cmd.Context(), url)
			for _, name := range applied {
				cmd.Println("applied", name)
			}
			if err == nil && len(applied) == 0 {
				cmd.Println("nothing to apply")
			}
			return err
		})},
		&cobra.Command{Use: "down", Short: "Takes the newest migration back; the first one drops all data", Args: cobra.NoArgs, RunE: withURL(func(cmd *cobra.Command, url string) error {
			name, err := postgres.MigrateDown(cmd.Context(), url)
			if err != nil {
				return err
			}
			if name == "" {
				cmd.Println("nothing to revert")
				return nil
			}
			cmd.Println("reverted", name)
			return nil
		})},
		&cobra.Command{Use: "status", Short: "Lists migrations", Args: cobra.NoArgs, RunE: withURL(func(cmd *cobra.Command, url string) error {
			list, err := postgres.MigrateStatus(cmd.Context(), url)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, m := range list {
				state := "pending"
				if m.Applied {
					state = "applied"
				}
				_, _ = fmt.Fprintf(table, "%d\t%s\t%s\n", m.Version, state, m.Name)
			}
			return table.Flush()
		})},
	)
	return cmd
}

func rlsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "rls", Short: "Switches row level security (DATABASE_URL); the service runs the same either way"}
	set := func(use, short string, enabled bool) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: withURL(func(cmd *cobra.Command, url string) error {
			if err := postgres.SetRowSecurity(cmd.Context(), url, enabled); err != nil {
				return err
			}
			return printSecurity(cmd, url)
		})}
	}
	cmd.AddCommand(
		set("enable", "Enforces the policies on every table that has one", true),
		set("disable", "Stops enforcing them", false),
		&cobra.Command{Use: "status", Short: "Lists tables with policies", Args: cobra.NoArgs, RunE: withURL(printSecurity)},
	)
	return cmd
}

func printSecurity(cmd *cobra.Command, url string) error {
	tables, err := postgres.RowSecurity(cmd.Context(), url)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, t := range tables {
		state := "off"
		if t.Enabled {
			state = "on"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\n", t.Table, state)
	}
	return table.Flush()
}

// withStore runs a command on one connection that may go through a transaction pooler. It wakes nobody up: publishers
// notice what operators change by the epochs of their lanes, within a renewal of their leases.
func withStore(ctx context.Context, url string, limits repositories.TxOptions, run func(*repositories.Store) error) error {
	pool, closePool, err := postgres.NewPool(ctx, &confpb.Data_Postgres{Url: url, MaxConns: 1, QueryMode: "exec"})
	if err != nil {
		return err
	}
	defer closePool()
	return run(repositories.NewStore(pool, limits, repositories.NoWaker{}))
}

// orMore is a count that stopped at a limit.
func orMore(count, limit int64) string {
	if count >= limit {
		return fmt.Sprintf("%d or more", limit)
	}
	return strconv.FormatInt(count, 10)
}

func withURL(run func(cmd *cobra.Command, url string) error) func(*cobra.Command, []string) error {
	return withURLFrom(databaseURL, run)
}

// withOperatedURL is withURL for commands that leave the schema alone.
func withOperatedURL(run func(cmd *cobra.Command, url string) error) func(*cobra.Command, []string) error {
	return withURLFrom(operatedURL, run)
}

func withURLFrom(find func(*cobra.Command) (string, error), run func(cmd *cobra.Command, url string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		url, err := find(cmd)
		if err != nil {
			return err
		}
		return run(cmd, url)
	}
}
