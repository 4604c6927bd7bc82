// Package docs serves the API page at /docs: the OpenAPI document in a viewer that comes with the program, so that the
// page needs nothing from elsewhere. viewer/ is swagger-ui-dist as tools/openapi pins it; make openapi-lint compares.
package docs
