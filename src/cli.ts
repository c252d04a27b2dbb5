#!/usr/bin/env node
import { runProgram } from './cli/program.js'

const write = (text: string) => { process.stdout.write(text) }
process.exitCode = await runProgram(process.argv.slice(2), { env: process.env, write })
