package devpg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ensureRoles makes the server's roles, their rights and their passwords what they should be, and creates the
// database profile. Repeating it is safe.
func ensureRoles(ctx context.Context, conn *pgx.Conn, s secrets) error {
	for _, role := range []struct{ name, rights string }{
		{ownerRole, "LOGIN CREATEDB CREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS"},
		{appRole, "LOGIN NOCREATEDB NOCREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS"},
	} {
		exists := "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
		if err := unless(ctx, conn, exists, role.name, "CREATE ROLE "+role.name); err != nil {
			return fmt.Errorf("create role %s: %w", role.name, err)
		}
		verifier, err := scramVerifier(s.of(role.name))
		if err != nil {
			return fmt.Errorf("password of %s: %w", role.name, err)
		}
		// ALTER ROLE takes no parameters; a verifier has no character that would need quoting.
		alter := "ALTER ROLE " + role.name + " WITH " + role.rights + " PASSWORD '" + verifier + "'"
		if _, err := conn.Exec(ctx, alter); err != nil {
			return fmt.Errorf("set up role %s: %w", role.name, err)
		}
	}
	exists := "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
	create := "CREATE DATABASE " + profileDatabase + " OWNER " + ownerRole
	if err := unless(ctx, conn, exists, profileDatabase, create); err != nil {
		return fmt.Errorf("create database %s: %w", profileDatabase, err)
	}
	return nil
}

// unless executes the statement when the query does not return true for name.
func unless(ctx context.Context, conn *pgx.Conn, query, name, statement string) error {
	var exists bool
	if err := conn.QueryRow(ctx, query, name).Scan(&exists); err != nil || exists {
		return err
	}
	_, err := conn.Exec(ctx, statement)
	return err
}
