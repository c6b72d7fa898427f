// The program `guise-oci`; everything it does is in Containers/Commands.

import Containers
import Glibc

exit(OCIRuntime.main(Array(CommandLine.arguments.dropFirst())))
