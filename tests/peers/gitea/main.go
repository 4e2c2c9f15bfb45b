// A Git host with pull requests, built for the tests from its public module.
package main

import (
	"fmt"
	"os"

	"code.gitea.io/gitea/cmd"
)

func main() {
	if err := cmd.RunMainApp(cmd.NewMainApp(cmd.AppVersion{Version: "1.26.0"}), os.Args...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
