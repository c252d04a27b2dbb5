"""An MCP server over stdio, without any SDK: it keeps notes in its memory, and counts with progress."""
import json
import sys
import time

notes = []


def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def note(arguments, token):
    notes.append(arguments["text"])
    return json.dumps(notes)


def list_notes(arguments, token):
    return json.dumps(notes)


def count(arguments, token):
    for step in range(1, arguments["to"] + 1):
        if token is not None:
            say({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
        time.sleep(0.1)
    return str(arguments["to"])


tools = {"note": note, "notes": list_notes, "count": count}


def respond(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "plain-python", "version": "1"},
        }
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in tools]}
    if method == "tools/call":
        token = params.get("_meta", {}).get("progressToken")
        text = tools[params["name"]](params.get("arguments", {}), token)
        return {"content": [{"type": "text", "text": text}]}
    return None


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    result = respond(message["method"], message.get("params", {}))
    if result is None:
        say({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
    else:
        say({"id": message["id"], "result": result})
