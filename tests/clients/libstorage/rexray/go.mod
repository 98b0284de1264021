// The stock REX-Ray 0.11.4: its main package is built as it is, with the versions that its lock file pins
// (golang.org/x, whose versions of then no longer build, excepted).
module rexray

go 1.17

require github.com/rexray/rexray v0.11.4

require (
	github.com/SermoDigital/jose v0.9.2-0.20161205224733-f6df55f235c2 // indirect
	github.com/akutz/gofig v0.1.9 // indirect
	github.com/akutz/golf v0.1.3 // indirect
	github.com/akutz/goof v0.1.2 // indirect
	github.com/akutz/gotil v0.1.0 // indirect
	github.com/fsnotify/fsnotify v1.4.2 // indirect
	github.com/gorilla/context v1.1.1 // indirect
	github.com/hashicorp/hcl v0.0.0-20170825171336-8f6b1344a92f // indirect
	github.com/jteeuwen/go-bindata v3.0.7+incompatible // indirect
	github.com/kardianos/osext v0.0.0-20170510131534-ae77be60afb1 // indirect
	github.com/magiconair/properties v1.7.3 // indirect
	github.com/mitchellh/mapstructure v0.0.0-20170523030023-d0303fe80992 // indirect
	github.com/pelletier/go-buffruneio v0.2.0 // indirect
	github.com/pelletier/go-toml v1.0.0 // indirect
	github.com/sirupsen/logrus v1.0.3 // indirect
	github.com/spf13/afero v0.0.0-20170901052352-ee1bd8ee15a1 // indirect
	github.com/spf13/cast v1.1.0 // indirect
	github.com/spf13/cobra v0.0.0-20170905172051-b78744579491 // indirect
	github.com/spf13/jwalterweatherman v0.0.0-20170901151539-12bd96e66386 // indirect
	github.com/spf13/pflag v1.0.1-0.20170901120850-7aff26db30c1 // indirect
	github.com/spf13/viper v1.0.0 // indirect
	golang.org/x/crypto v0.14.0 // indirect
	golang.org/x/net v0.17.0 // indirect
	golang.org/x/sys v0.13.0 // indirect
	golang.org/x/term v0.13.0 // indirect
	golang.org/x/text v0.13.0 // indirect
	gopkg.in/yaml.v2 v2.0.0 // indirect
)

// The forks that REX-Ray was built with.
replace (
	github.com/sirupsen/logrus => github.com/akutz/logrus v0.8.7-0.20170830210741-d842de504ca8
	gopkg.in/yaml.v2 => github.com/akutz/yaml v0.0.0-20160725221316-bc35f417f8a7
)
