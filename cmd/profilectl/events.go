package main

import "github.com/spf13/cobra"

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "Reads and publishes events (PUBSUB_EMULATOR_HOST, GOOGLE_CLOUD_PROJECT)"}
	cmd.AddCommand(tailCommand(), publishCatalogCommand())
	return cmd
}
