package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lingo-services/profile/internal/infrastructure/devissuer"
	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/internal/models"
)

// maxTokenLifetime is what the stack accepts by default.
const maxTokenLifetime = 24 * time.Hour

func tokenCommand() *cobra.Command {
	var user, service, role string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use:   "token {--user UUID | --service NAME --role ROLE}",
		Short: "Prints a token that the development stack (make run) accepts in `authorization: Bearer`",
		Long: "Prints a short-lived token signed with the key of the development stack (make run).\n" +
			"The stack lists the service " + devissuer.DefaultService + " in every role (" + strings.Join(devissuer.Roles(), ", ") +
			"); a token of another name shows what an unlisted account gets.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lifetime <= 0 || lifetime > maxTokenLifetime {
				return fmt.Errorf("--lifetime: must be more than 0 and at most %s", maxTokenLifetime)
			}
			dir, err := devpg.StateDir(devpg.Options{})
			if err != nil {
				return err
			}
			issuer, err := devissuer.Find(dir)
			if err != nil {
				return err
			}
			token, err := sign(issuer, user, service, role, lifetime)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the user to act as, a UUID")
	cmd.Flags().StringVar(&service, "service", "", "the service to act as, `NAME`: "+devissuer.DefaultService)
	cmd.Flags().StringVar(&role, "role", "", "its role: "+strings.Join(devissuer.Roles(), ", "))
	cmd.Flags().DurationVar(&lifetime, "lifetime", 15*time.Minute, "how long the token is good for")
	cmd.MarkFlagsOneRequired("user", "service")
	cmd.MarkFlagsMutuallyExclusive("user", "service")
	cmd.MarkFlagsRequiredTogether("service", "role")
	return cmd
}

var errServiceName = errors.New("--service: must have lower case letters, digits and hyphens only")

func sign(issuer *devissuer.Issuer, user, service, role string, lifetime time.Duration) (string, error) {
	if service == "" {
		id, err := models.ParseUserID(user)
		if err != nil {
			return "", fmt.Errorf("--user: %w", err)
		}
		return issuer.UserToken(id, lifetime)
	}
	if strings.Trim(service, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", errServiceName
	}
	if !slices.Contains(devissuer.Roles(), role) {
		return "", fmt.Errorf("--role: must be one of %s", strings.Join(devissuer.Roles(), ", "))
	}
	return issuer.ServiceToken(service, role, lifetime)
}
