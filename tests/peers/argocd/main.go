// The parts of Argo CD that act on Applications, built for the tests from its
// public module. One program, as Argo CD's own is: ARGOCD_BINARY_NAME says
// which part it is, and the repo-server starts it again by the name `argocd`
// to answer git's questions for credentials.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	applicationset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	askpass "github.com/argoproj/argo-cd/v3/cmd/argocd-git-ask-pass/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

func main() {
	parts := map[string]func() *cobra.Command{
		"argocd-application-controller":    controller.NewCommand,
		"argocd-applicationset-controller": applicationset.NewCommand,
		"argocd-git-ask-pass":              askpass.NewCommand,
		"argocd-repo-server":               reposerver.NewCommand,
	}
	part := os.Getenv("ARGOCD_BINARY_NAME")
	command, known := parts[part]
	if !known {
		fmt.Fprintf(os.Stderr, "ARGOCD_BINARY_NAME names no part: %q\n", part)
		os.Exit(2)
	}
	if err := command().Execute(); err != nil {
		os.Exit(1)
	}
}
