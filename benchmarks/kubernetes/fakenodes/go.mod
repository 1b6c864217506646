// Nodes without a machine behind them, for python -m benchmarks.kubernetes. Nothing but Go's own library.
module katib.test/fakenodes

go 1.24.0
