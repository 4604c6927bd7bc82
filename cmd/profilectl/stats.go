package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
)

// recountTimeout bounds the recount of all rows.
const recountTimeout = 10 * time.Minute

func statsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "Checks counters (DATABASE_URL, else the running make run)"}
	cmd.AddCommand(&cobra.Command{
		Use: "verify", Short: "Recounts every video and fails when a counter differs", Args: cobra.NoArgs, RunE: withOperatedURL(verifyStats),
	})
	return cmd
}

func verifyStats(cmd *cobra.Command, url string) error {
	var drift []po.StatsDrift
	limits := repositories.TxOptions{StatementTimeout: recountTimeout, LockTimeout: time.Second, MaxAttempts: 1}
	err := withStore(cmd.Context(), url, limits, func(store *repositories.Store) (err error) {
		drift, err = services.NewVideoStatsService(store, cache.Uncached(store)).Verify(cmd.Context())
		return err
	})
	if err != nil {
		return err
	}
	if len(drift) == 0 {
		cmd.Println("every counter equals its recount")
		return nil
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "video\tlikes\tbookmarks\twatchers\tseconds\t(stored/counted)")
	for _, d := range drift {
		_, _ = fmt.Fprintf(table, "%s\t%d/%d\t%d/%d\t%d/%d\t%d/%d\n", d.VideoID, d.Stored.LikeCount, d.Counted.LikeCount,
			d.Stored.BookmarkCount, d.Counted.BookmarkCount, d.Stored.UniqueWatchers, d.Counted.UniqueWatchers,
			d.Stored.TotalWatchSeconds, d.Counted.TotalWatchSeconds)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return fmt.Errorf("%d videos drifted", len(drift))
}
