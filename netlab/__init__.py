"""A laboratory of network namespaces: real kernels' network stacks, real rustun processes, one machine, nothing left.

`topology` says what to build, `namespaces` and `wiring` build it, `lab` starts the processes and proves the tunnels,
`probes` and `load` witness from outside what works, `demo` and `bench` tell people. Used from a checkout only; the
runtime never imports it.
"""
