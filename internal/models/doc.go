// Package models is the vocabulary of the service: ids, enums, who acts, effective times and errors. It
// imports no proto, database or transport package; everything else may import it.
package models
