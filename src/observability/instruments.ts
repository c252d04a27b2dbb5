import { Gauge, Histogram, type Registry } from 'prom-client'

const BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export function addHistogram<Label extends string> (
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[]
): Histogram<Label> {
  return new Histogram({ name, help, labelNames: [...labelNames], buckets: BUCKETS, registers: [registry] })
}

/** A gauge that is read when Prometheus asks. */
export function addGauge (registry: Registry, name: string, help: string, read: () => number): Gauge {
  return new Gauge({ name, help, registers: [registry], collect () { this.set(read()) } })
}
