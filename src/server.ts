import { runProcess } from './process/run.js'

runProcess()
