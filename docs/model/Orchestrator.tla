---------------------------- MODULE Orchestrator ----------------------------
(* One tree of two agents, two workers, one slot: how an accepted spawn comes to its end, whatever  *)
(* dies. Each action is one transaction of PostgreSQL or one script of the gate; between any two of *)
(* them anything else may happen. tests/model holds the same actions in Python, searches all states *)
(* and checks that names here and there agree. docs/explanation/model.md says what is left out.     *)
EXTENDS Integers, FiniteSets, Sequences

CONSTANTS Workers, Slots, MaxFaults

Parent == 0
Child == 1
Instances == {Parent, Child}
Live == {"queued", "running", "waiting"}
Over == {"ended", "cancelled"}
Held == {"admitted", "dispatched"}
Leased == Held \cup {"reserved"}
Rest == <<"idle">>
Idle == [at |-> "idle", instance |-> Parent, attempt |-> 0, seen |-> FALSE]

VARIABLES
  row,         \* PostgreSQL: the state of each instance; `ended` is completed or failed
  row_attempt, \* PostgreSQL: the newest attempt of each
  gate,        \* Redis: place, attempt and stop of each, the parent's wait, slots, messages
  client,      \* the service that spawns the parent
  worker,      \* what each worker process does next, for which attempt
  sweeper,     \* engine/sweep.py in the middle of a place
  adopter,     \* engine/adopt.py in the middle of a row
  rebuilder,   \* engine/rebuild.py in the middle of filling the gate
  canceller,   \* engine/cancel.py
  faults,      \* how many there have been
  disturbed    \* whether slots were lost: a late heartbeat, an emptied Redis

vars == <<row, row_attempt, gate, client, worker, sweeper, adopter, rebuilder, canceller,
          faults, disturbed>>
rows == <<row, row_attempt>>
beats == <<sweeper, adopter, rebuilder>>
count == <<faults, disturbed>>

-----------------------------------------------------------------------------
(* The scripts of the gate: from what Redis holds to what it holds then. *)

NoEdge == <<"none", 0>>
Empty == [open |-> FALSE, filling |-> FALSE, place |-> [i \in Instances |-> "none"],
          attempt |-> [i \in Instances |-> 0], stop |-> [i \in Instances |-> FALSE],
          edge |-> NoEdge, woken |-> 0, slots |-> {}, messages |-> {}]

To(g, i, place) == [g EXCEPT !.place[i] = place]

\* lib/hand_out.lua
HandOut(g, i) ==
  LET a == g.attempt[i] + 1
  IN [To(g, i, "dispatched") EXCEPT !.attempt[i] = a, !.slots = @ \cup {i},
                                    !.messages = @ \cup {<<i, a>>}]

\* lib/pump.lua: who has run before goes first, then the parent
First(g, line) ==
  IF \E i \in line : g.attempt[i] > 0
  THEN CHOOSE i \in line : g.attempt[i] > 0 /\ \A j \in line : g.attempt[j] > 0 => i <= j
  ELSE CHOOSE i \in line : \A j \in line : i <= j
RECURSIVE Pumped(_)
Pumped(g) ==
  LET line == {i \in Instances : g.place[i] = "queued"}
  IN IF line = {} \/ Cardinality(g.slots) >= Slots THEN g ELSE Pumped(HandOut(g, First(g, line)))

\* lib/drop.lua: leave, drop
Leave(g, i) ==
  [To(g, i, "none") EXCEPT !.slots = @ \ {i}, !.edge = IF i = Parent THEN NoEdge ELSE @]
Drop(g, i) ==
  [Leave(g, i) EXCEPT !.attempt[i] = 0, !.stop[i] = FALSE,
                      !.woken = IF i = Parent THEN 0 ELSE @]

\* lib/park.lua, lib/rouse.lua, lib/ends.lua
Rouse(g) == To([g EXCEPT !.edge = NoEdge], Parent, "queued")
TellEnd(g, i) ==
  IF i # Child \/ g.edge[1] # "waits" THEN g
  ELSE IF g.place[Parent] = "suspended" THEN Rouse(g)
  ELSE [g EXCEPT !.edge = <<"over", g.edge[2]>>]

\* check_in.lua, withdraw.lua, follow.lua
CheckedIn(g, i) ==
  IF g.place[i] # "none" THEN g
  ELSE IF Cardinality(g.slots) < Slots /\ \A j \in Instances : g.place[j] # "queued"
  THEN [To(g, i, "admitted") EXCEPT !.slots = @ \cup {i}]
  ELSE To(g, i, "reserved")
Withdrawn(g, i) == IF g.place[i] \in {"admitted", "reserved"} THEN Pumped(Drop(g, i)) ELSE g
Followed(g, i) ==
  IF g.place[i] = "admitted" THEN HandOut(g, i)
  ELSE IF g.place[i] \in {"none", "reserved"} \/ (g.place[i] = "expired" /\ g.attempt[i] = 0)
  THEN Pumped(To(Leave(g, i), i, "queued"))
  ELSE g

\* release.lua
Released(g, i, a, ended) ==
  LET holds == g.attempt[i] = a /\ (g.place[i] \in {"dispatched", "expired"}
                                    \/ (g.place[i] = "suspended" /\ ended))
      left == IF holds THEN Drop(g, i) ELSE g
  IN Pumped(IF ended THEN TellEnd(left, i) ELSE left)

\* begin_wait.lua
Waits(g, a) ==
  IF g.attempt[Parent] = a /\ ~g.stop[Parent] /\ g.place[Parent] \in {"dispatched", "suspended"}
  THEN [g EXCEPT !.edge = <<"waits", a>>] ELSE g

\* suspend.lua: the gate, and whether it was done
Asleep(g, a, ended) ==
  LET s == To([g EXCEPT !.slots = @ \ {Parent}], Parent, "suspended")
  IN IF ended \/ s.woken = a \/ s.edge = <<"over", a>> THEN Rouse(s)
     ELSE IF s.edge[2] # a THEN [s EXCEPT !.edge = NoEdge] ELSE s
Suspended(g, a, ended) ==
  IF g.attempt[Parent] # a THEN <<g, FALSE>>
  ELSE IF g.place[Parent] \in {"suspended", "queued"} THEN <<g, TRUE>>
  ELSE IF g.place[Parent] # "dispatched" THEN <<g, FALSE>>
  ELSE IF g.stop[Parent] THEN <<Pumped(Drop(g, Parent)), TRUE>>
  ELSE <<Pumped(Asleep(g, a, ended)), TRUE>>

\* wake.lua, without what it hands out
Woken(g) ==
  IF g.place[Parent] = "suspended" THEN Rouse(g)
  ELSE IF g.place[Parent] = "dispatched" THEN [g EXCEPT !.woken = g.attempt[Parent]]
  ELSE g

\* requeue.lua
Requeued(g, i, a) ==
  IF g.place[i] # "none" /\ (g.attempt[i] > a \/ g.stop[i]) THEN g
  ELSE Pumped(To([Leave(g, i) EXCEPT !.attempt[i] = a], i, "queued"))

\* cancel.lua: of one; of several, the parent first
Stopped(g, i) ==
  TellEnd(IF g.place[i] = "dispatched"
          THEN [g EXCEPT !.stop[i] = TRUE, !.edge = IF i = Parent THEN NoEdge ELSE @]
          ELSE IF g.place[i] # "none" THEN Drop(g, i) ELSE g, i)
Cancelled(g, ids) ==
  LET p == IF Parent \in ids THEN Stopped(g, Parent) ELSE g
  IN Pumped(IF Child \in ids THEN Stopped(p, Child) ELSE p)

\* lib/expire.lua, forget.lua
Expired(g, i) == Pumped(To(Leave(g, i), i, "expired"))
Forgotten(g, i, a, ended) ==
  LET left == IF g.place[i] = "expired" /\ g.attempt[i] = a THEN Drop(g, i) ELSE g
  IN Pumped(IF ended THEN TellEnd(left, i) ELSE left)

\* adopt.lua
PlaceOf(state) == CASE state = "running" -> "dispatched" [] state = "waiting" -> "suspended"
                    [] state = "queued" -> "queued"
Stands(g, i, state, a) ==
  IF g.attempt[i] # a THEN g.attempt[i] > a
  ELSE g.place[i] = PlaceOf(state)
       \/ (state = "waiting" /\ g.place[i] \notin {"reserved", "expired"})
Adopted(g, i, state, a) ==
  IF g.place[i] # "none" /\ Stands(g, i, state, a) THEN g
  ELSE LET stop == g.stop[i] /\ g.attempt[i] = a
           left == [Leave(g, i) EXCEPT !.attempt[i] = a, !.stop[i] = stop]
           here == [To(left, i, PlaceOf(state)) EXCEPT
                      !.slots = IF state = "running" THEN @ \cup {i} ELSE @,
                      !.edge = IF state = "waiting" THEN <<"waits", a>> ELSE @]
       IN IF state = "waiting" /\ here.woken = a THEN Rouse(here) ELSE here

\* engine/adopt.py after that: what it waits for may have ended. Filling hands nobody out.
Told(g) ==
  LET ended == IF row[Child] \in Over THEN TellEnd(g, Child) ELSE g
      woken == IF row[Child] \in Over /\ row[Parent] = "waiting" THEN Woken(ended) ELSE ended
  IN IF g.open THEN Pumped(woken) ELSE woken

-----------------------------------------------------------------------------
(* engine/spawn.py: check in, record, follow. *)

Cascade(r) == IF r[Child] \in Live THEN [r EXCEPT ![Child] = "cancelled"] ELSE r

ClientCheckIn ==
  /\ client = "start" /\ gate.open
  /\ gate' = CheckedIn(gate, Parent) /\ client' = "checked"
  /\ UNCHANGED <<rows, worker, beats, canceller, count>>
ClientRecord ==
  /\ client = "checked"
  /\ row' = [row EXCEPT ![Parent] = "queued"] /\ client' = "recorded"
  /\ UNCHANGED <<row_attempt, gate, worker, beats, canceller, count>>
ClientFollow ==
  /\ client = "recorded" /\ gate.open
  /\ gate' = Followed(gate, Parent) /\ client' = "done"
  /\ UNCHANGED <<rows, worker, beats, canceller, count>>

(* Workers. Step(w, at) moves one; what else changes stands beside it. *)
At(w, at) == worker[w].at = at
Of(w) == worker[w].instance
Att(w) == worker[w].attempt
Step(w, at, seen) == worker' = [worker EXCEPT ![w].at = at, ![w].seen = seen]
Free(w) == worker' = [worker EXCEPT ![w] = Idle]
Mine(w) == row[Of(w)] = "running" /\ row_attempt[Of(w)] = Att(w)
Aside == <<client, beats, canceller, count>>

Take(w, m) == worker' = [worker EXCEPT ![w] = [Idle EXCEPT !.at = "got", !.instance = m[1],
                                                           !.attempt = m[2]]]
Deliver(w) ==
  \E m \in gate.messages :
    /\ At(w, "idle") /\ Take(w, m)
    /\ gate' = [gate EXCEPT !.messages = @ \ {m}] /\ UNCHANGED <<rows, Aside>>

\* begin_instance
Begin(w) ==
  /\ At(w, "got") /\ UNCHANGED <<gate, Aside>>
  /\ IF row[Of(w)] \in {"queued", "waiting"} /\ row_attempt[Of(w)] < Att(w)
     THEN /\ row' = [row EXCEPT ![Of(w)] = "running"]
          /\ row_attempt' = [row_attempt EXCEPT ![Of(w)] = Att(w)] /\ Step(w, "run", FALSE)
     ELSE Step(w, "refused", FALSE) /\ UNCHANGED rows
TurnAway(w) ==
  /\ At(w, "refused") /\ UNCHANGED <<rows, gate, Aside>>
  /\ IF row[Of(w)] \in Live /\ row_attempt[Of(w)] = Att(w) THEN Free(w)
     ELSE Step(w, "release", row[Of(w)] \notin Live)

\* a running parent spawns its child; a spawn that is tried again has another id, so one at a time
SpawnCheckIn(w) ==
  /\ At(w, "run") /\ Of(w) = Parent /\ gate.open
  /\ gate.attempt[Parent] = Att(w) /\ ~gate.stop[Parent]
  /\ row[Child] = "none" /\ gate.place[Child] = "none"
  /\ \A v \in Workers : worker[v].at \notin {"checked", "recorded"}
  /\ gate' = CheckedIn(gate, Child) /\ Step(w, "checked", FALSE) /\ UNCHANGED <<rows, Aside>>
SpawnRecord(w) ==
  /\ At(w, "checked") /\ UNCHANGED <<row_attempt, Aside>>
  /\ \/ /\ Mine(w) /\ row' = [row EXCEPT ![Child] = "queued"]
        /\ Step(w, "recorded", FALSE) /\ UNCHANGED gate
     \/ /\ ~Mine(w) /\ gate.open /\ gate' = Withdrawn(gate, Child)
        /\ Step(w, "left", FALSE) /\ UNCHANGED row
SpawnFollow(w) ==
  /\ At(w, "recorded") /\ gate.open
  /\ gate' = Followed(gate, Child) /\ Step(w, "run", FALSE) /\ UNCHANGED <<rows, Aside>>

(* agents/waiting.py, engine/suspend.py: the function is left, the row first, then the gate. *)
Look(w) ==
  /\ At(w, "run") /\ Of(w) = Parent /\ row[Child] \in Live
  /\ Step(w, "look", FALSE) /\ UNCHANGED <<rows, gate, Aside>>
BeginWait(w) ==
  /\ At(w, "look") /\ gate.open
  /\ gate' = Waits(gate, Att(w)) /\ Step(w, "leave", FALSE) /\ UNCHANGED <<rows, Aside>>
SuspendRow(w) ==
  /\ At(w, "leave") /\ UNCHANGED <<row_attempt, gate, Aside>>
  /\ LET over == row[Child] \in Over
     IN IF Mine(w)
        THEN /\ row' = [row EXCEPT ![Parent] = IF over THEN "queued" ELSE "waiting"]
             /\ Step(w, "suspend", over)
        ELSE Step(w, "release", FALSE) /\ UNCHANGED row
SuspendGate(w) ==
  /\ At(w, "suspend") /\ gate.open /\ UNCHANGED <<rows, Aside>>
  /\ LET done == Suspended(gate, Att(w), worker[w].seen)
     IN gate' = done[1] /\ IF done[2] THEN Free(w) ELSE Step(w, "untold", FALSE)
TellAgain(w) ==
  /\ At(w, "untold") /\ Free(w)
  /\ UNCHANGED <<rows, gate, client, sweeper, rebuilder, canceller, count>>
  /\ IF row[Parent] \in Live /\ row_attempt[Parent] = Att(w)
     THEN adopter = Rest /\ adopter' = <<"adopt", Parent, row[Parent], Att(w)>>
     ELSE UNCHANGED adopter

(* engine/execute.py: the end of an attempt. *)
Settle(w) ==
  /\ At(w, "run") /\ UNCHANGED <<row_attempt, gate, Aside>>
  /\ IF Mine(w)
     THEN LET r == [row EXCEPT ![Of(w)] = "ended"]
          IN /\ row' = IF Of(w) = Parent THEN Cascade(r) ELSE r
             /\ Step(w, IF row' # r THEN "tell" ELSE "release", TRUE)
     ELSE Step(w, "left", FALSE) /\ UNCHANGED row
TellBelow(w) ==
  /\ At(w, "tell") /\ gate.open
  /\ gate' = Cancelled(gate, {Child}) /\ Step(w, "release", TRUE) /\ UNCHANGED <<rows, Aside>>
LookLeft(w) ==
  /\ At(w, "left") /\ Step(w, "release", row[Of(w)] \notin Live) /\ UNCHANGED <<rows, gate, Aside>>
Release(w) ==
  /\ At(w, "release") /\ gate.open
  /\ gate' = Released(gate, Of(w), Att(w), worker[w].seen) /\ Free(w) /\ UNCHANGED <<rows, Aside>>
Requeue(w) ==
  /\ At(w, "back") /\ gate.open
  /\ gate' = Requeued(gate, Of(w), Att(w)) /\ Free(w) /\ UNCHANGED <<rows, Aside>>

(* engine/heartbeat.py *)
Stop(w) ==
  /\ worker[w].at \in {"run", "look"} /\ ~Mine(w)
  /\ Step(w, "left", FALSE) /\ UNCHANGED <<rows, gate, Aside>>
Restore(w) ==
  /\ worker[w].at # "idle" /\ Mine(w) /\ gate.open /\ adopter = Rest
  /\ gate.place[Of(w)] = "none" \/ ~Stands(gate, Of(w), "running", Att(w))
  /\ adopter' = <<"adopt", Of(w), "running", Att(w)>>
  /\ UNCHANGED <<rows, gate, client, worker, sweeper, rebuilder, canceller, count>>

(* engine/cancel.py *)
CancelRows(i) ==
  /\ canceller = <<"ready">> /\ row[i] \in Live
  /\ LET r == [row EXCEPT ![i] = "cancelled"]
     IN /\ row' = IF i = Parent THEN Cascade(r) ELSE r
        /\ canceller' = <<"rows", {j \in Instances : row'[j] # row[j]}>>
  /\ UNCHANGED <<row_attempt, gate, client, worker, beats, count>>
CancelGate ==
  /\ canceller[1] = "rows" /\ gate.open
  /\ gate' = Cancelled(gate, canceller[2]) /\ canceller' = <<"done">>
  /\ UNCHANGED <<rows, client, worker, beats, count>>

-----------------------------------------------------------------------------
(* Housekeeping, and whoever meets an empty gate. *)

Cares(i) ==
  IF gate.place[i] = "dispatched"
  THEN \/ <<i, gate.attempt[i]>> \in gate.messages
       \/ \E w \in Workers : worker[w].at # "idle" /\ Of(w) = i /\ Att(w) = gate.attempt[i]
  ELSE IF i = Parent THEN client \in {"checked", "recorded"}
  ELSE \E w \in Workers : worker[w].at \in {"checked", "recorded"}
GateOnly == <<rows, client, worker, beats, canceller, count>>

Pump ==
  /\ gate.open /\ Pumped(gate) # gate /\ gate' = Pumped(gate) /\ UNCHANGED GateOnly
LeaseRunsOut(i) ==
  /\ gate.open /\ gate.place[i] \in Leased /\ ~Cares(i)
  /\ gate' = Expired(gate, i) /\ UNCHANGED GateOnly

(* engine/sweep.py *)
SweepClaim(i) ==
  /\ gate.open /\ sweeper = Rest /\ gate.place[i] = "expired"
  /\ sweeper' = <<"judge", i, gate.attempt[i]>>
  /\ UNCHANGED <<rows, gate, client, worker, adopter, rebuilder, canceller, count>>
SweepJudge ==
  /\ sweeper[1] = "judge" /\ UNCHANGED <<gate, client, worker, rebuilder, canceller, count>>
  /\ LET i == sweeper[2]
         a == sweeper[3]
         raised == row_attempt' = [row_attempt EXCEPT ![i] = a]
         failed == [row EXCEPT ![i] = "ended"]
     IN IF row[i] \notin Live \/ row_attempt[i] > a
        THEN sweeper' = <<"forget", i, a, row[i] \notin Live>> /\ UNCHANGED <<rows, adopter>>
        ELSE IF row[i] = "waiting" /\ row_attempt[i] = a
        THEN /\ adopter = Rest /\ adopter' = <<"adopt", i, "waiting", a>>
             /\ sweeper' = Rest /\ UNCHANGED rows
        ELSE /\ raised /\ UNCHANGED adopter
             /\ \/ row' = [row EXCEPT ![i] = "queued"] /\ sweeper' = <<"requeue", i, a>>
                \/ /\ row[i] = "running"
                   /\ row' = IF i = Parent THEN Cascade(failed) ELSE failed
                   /\ sweeper' = <<IF row' # failed THEN "tell" ELSE "forget", i, a, TRUE>>
SweepTell ==
  /\ sweeper[1] = "tell" /\ gate.open /\ gate' = Cancelled(gate, {Child})
  /\ sweeper' = <<"forget", sweeper[2], sweeper[3], TRUE>>
  /\ UNCHANGED <<rows, client, worker, adopter, rebuilder, canceller, count>>
SweepRequeue ==
  /\ sweeper[1] = "requeue" /\ gate.open /\ gate' = Requeued(gate, sweeper[2], sweeper[3])
  /\ sweeper' = Rest /\ UNCHANGED <<rows, client, worker, adopter, rebuilder, canceller, count>>
SweepForget ==
  /\ sweeper[1] = "forget" /\ gate.open
  /\ gate' = Forgotten(gate, sweeper[2], sweeper[3], sweeper[4])
  /\ sweeper' = Rest /\ UNCHANGED <<rows, client, worker, adopter, rebuilder, canceller, count>>

(* engine/reap.py: never possible, which R5 says *)
Reap ==
  /\ row[Parent] \in Over /\ row[Child] \in Live /\ canceller[1] \in {"ready", "done"}
  /\ row' = Cascade(row) /\ canceller' = <<"rows", {Child}>>
  /\ UNCHANGED <<row_attempt, gate, client, worker, beats, count>>

(* engine/reconcile.py, engine/adopt.py *)
ReconcileAdopt(i) ==
  /\ gate.open /\ gate.place[i] = "none" /\ row[i] \in Live /\ adopter = Rest
  /\ adopter' = <<"adopt", i, row[i], row_attempt[i]>>
  /\ UNCHANGED <<rows, gate, client, worker, sweeper, rebuilder, canceller, count>>
ReconcileWake ==
  /\ gate.open /\ row[Parent] = "waiting" /\ row[Child] \in Over
  /\ Pumped(Woken(gate)) # gate /\ gate' = Pumped(Woken(gate)) /\ UNCHANGED GateOnly
ReconcileForget(i) ==
  /\ gate.open /\ gate.place[i] \in {"queued", "suspended"} /\ row[i] \in Over
  /\ gate' = Cancelled(gate, {i}) /\ UNCHANGED GateOnly
AdoptGate ==
  /\ adopter[1] = "adopt" /\ (gate.open \/ gate.filling)
  /\ gate' = Adopted(gate, adopter[2], adopter[3], adopter[4])
  /\ adopter' = IF adopter[3] = "waiting" THEN <<"tell">> ELSE Rest
  /\ UNCHANGED <<rows, client, worker, sweeper, rebuilder, canceller, count>>
AdoptTell ==
  /\ adopter = <<"tell">> /\ (gate.open \/ gate.filling) /\ gate' = Told(gate) /\ adopter' = Rest
  /\ UNCHANGED <<rows, client, worker, sweeper, rebuilder, canceller, count>>

(* engine/rebuild.py *)
RebuildClaim ==
  /\ ~gate.open /\ ~gate.filling /\ rebuilder = Rest /\ gate' = [gate EXCEPT !.filling = TRUE]
  /\ LET live == {i \in Instances : row[i] \in Live}
     IN rebuilder' = <<"adopt", [i \in live |-> <<row[i], row_attempt[i]>>]>>
  /\ UNCHANGED <<rows, client, worker, sweeper, adopter, canceller, count>>
RebuildAdopt ==
  /\ rebuilder[1] = "adopt" /\ gate.filling
  /\ LET read == rebuilder[2]
         one(g, i) == IF i \in DOMAIN read THEN Adopted(g, i, read[i][1], read[i][2]) ELSE g
     IN gate' = one(one(gate, Parent), Child) /\ rebuilder' = <<"tell", read>>
  /\ UNCHANGED <<rows, client, worker, sweeper, adopter, canceller, count>>
RebuildTell ==
  /\ rebuilder[1] = "tell" /\ gate.filling /\ gate' = Told(gate)
  /\ rebuilder' = <<"open", rebuilder[2]>>
  /\ UNCHANGED <<rows, client, worker, sweeper, adopter, canceller, count>>
RebuildOpen ==
  /\ rebuilder[1] = "open" /\ gate.filling
  /\ gate' = Pumped([gate EXCEPT !.open = TRUE, !.filling = FALSE]) /\ rebuilder' = Rest
  /\ UNCHANGED <<rows, client, worker, sweeper, adopter, canceller, count>>
RebuildLost ==
  /\ rebuilder # Rest /\ ~gate.filling /\ rebuilder' = Rest
  /\ UNCHANGED <<rows, gate, client, worker, sweeper, adopter, canceller, count>>

-----------------------------------------------------------------------------
(* Faults, and attempts that end without an end. *)

Fault == faults < MaxFaults /\ faults' = faults + 1

Crash ==
  /\ Fault /\ UNCHANGED <<rows, disturbed>>
  /\ \/ /\ \E w \in Workers : ~At(w, "idle") /\ Free(w)
        /\ UNCHANGED <<gate, client, beats, canceller>>
     \/ /\ client \in {"checked", "recorded"} /\ client' = "dead"
        /\ UNCHANGED <<gate, worker, beats, canceller>>
     \/ /\ sweeper # Rest /\ sweeper' = Rest
        /\ UNCHANGED <<gate, client, worker, adopter, rebuilder, canceller>>
     \/ /\ adopter # Rest /\ adopter' = Rest
        /\ UNCHANGED <<gate, client, worker, sweeper, rebuilder, canceller>>
     \/ /\ rebuilder # Rest /\ rebuilder' = Rest /\ gate' = [gate EXCEPT !.filling = FALSE]
        /\ UNCHANGED <<client, worker, sweeper, adopter, canceller>>
     \/ /\ canceller[1] = "rows" /\ canceller' = <<"done">>
        /\ UNCHANGED <<gate, client, worker, beats>>
LoseMessage ==
  /\ Fault /\ \E m \in gate.messages : gate' = [gate EXCEPT !.messages = @ \ {m}]
  /\ UNCHANGED <<rows, client, worker, beats, canceller, disturbed>>
DeliverTwice(w) ==
  /\ Fault /\ At(w, "idle") /\ \E m \in gate.messages : Take(w, m)
  /\ UNCHANGED <<rows, gate, client, beats, canceller, disturbed>>
EmptyRedis ==
  /\ Fault /\ (gate.open \/ gate.filling) /\ gate' = Empty /\ disturbed' = TRUE
  /\ UNCHANGED <<rows, client, worker, beats, canceller>>
LeaseRunsLate(i) ==
  /\ Fault /\ gate.open /\ gate.place[i] \in Leased /\ Cares(i)
  /\ gate' = Expired(gate, i) /\ disturbed' = TRUE
  /\ UNCHANGED <<rows, client, worker, beats, canceller>>
HandBack(w) ==
  /\ Fault /\ At(w, "run") /\ Mine(w)
  /\ row' = [row EXCEPT ![Of(w)] = "queued"] /\ Step(w, "back", FALSE)
  /\ UNCHANGED <<row_attempt, gate, client, beats, canceller, disturbed>>
\* committed, and the answer lost: what is repeated finds nothing to do
Unheard ==
  /\ Fault /\ UNCHANGED <<beats, canceller, disturbed>>
  /\ \/ /\ client = "checked" /\ gate.open /\ client' = "dead"
        /\ row' = [row EXCEPT ![Parent] = "queued"] /\ gate' = Withdrawn(gate, Parent)
        /\ UNCHANGED <<row_attempt, worker>>
     \/ \E w \in Workers :
          /\ UNCHANGED <<gate, client>>
          /\ \/ /\ At(w, "got") /\ row[Of(w)] \in {"queued", "waiting"}
                /\ row_attempt[Of(w)] < Att(w)
                /\ row' = [row EXCEPT ![Of(w)] = "running"]
                /\ row_attempt' = [row_attempt EXCEPT ![Of(w)] = Att(w)]
                /\ Step(w, "refused", FALSE)
             \/ /\ At(w, "run") /\ Mine(w) /\ Step(w, "left", FALSE) /\ UNCHANGED row_attempt
                /\ LET r == [row EXCEPT ![Of(w)] = "ended"]
                   IN row' = IF Of(w) = Parent THEN Cascade(r) ELSE r
             \/ /\ At(w, "leave") /\ Mine(w) /\ Step(w, "release", FALSE)
                /\ row' = [row EXCEPT ![Parent] =
                             IF row[Child] \in Over THEN "queued" ELSE "waiting"]
                /\ UNCHANGED row_attempt

-----------------------------------------------------------------------------
Init ==
  /\ row = [i \in Instances |-> "none"] /\ row_attempt = [i \in Instances |-> 0]
  /\ gate = [Empty EXCEPT !.open = TRUE] /\ client = "start"
  /\ worker = [w \in Workers |-> Idle] /\ sweeper = Rest /\ adopter = Rest /\ rebuilder = Rest
  /\ canceller = <<"ready">> /\ faults = 0 /\ disturbed = FALSE

\* What is bound to come, if nobody keeps it from it.
Own ==
  \/ ClientCheckIn \/ ClientRecord \/ ClientFollow \/ CancelGate \/ Pump
  \/ \E w \in Workers :
       \/ Deliver(w) \/ Begin(w) \/ TurnAway(w) \/ SpawnCheckIn(w) \/ SpawnRecord(w)
       \/ SpawnFollow(w) \/ Look(w) \/ BeginWait(w) \/ SuspendRow(w) \/ SuspendGate(w)
       \/ TellAgain(w) \/ Settle(w) \/ TellBelow(w) \/ LookLeft(w) \/ Release(w) \/ Requeue(w)
       \/ Stop(w)
Repairs ==
  \/ SweepJudge \/ SweepTell \/ SweepRequeue \/ SweepForget \/ Reap \/ ReconcileWake
  \/ AdoptGate \/ AdoptTell \/ RebuildClaim \/ RebuildAdopt \/ RebuildTell \/ RebuildOpen
  \/ RebuildLost \/ (\E w \in Workers : Restore(w))
  \/ \E i \in Instances : LeaseRunsOut(i) \/ SweepClaim(i) \/ ReconcileAdopt(i)
                          \/ ReconcileForget(i)
\* What may come or not.
Choices == \E i \in Instances : CancelRows(i)
Faults ==
  \/ Crash \/ LoseMessage \/ EmptyRedis \/ Unheard
  \/ (\E w \in Workers : DeliverTwice(w) \/ HandBack(w))
  \/ (\E i \in Instances : LeaseRunsLate(i))

Next == Own \/ Repairs \/ Choices \/ Faults
Spec == Init /\ [][Next]_vars /\ WF_vars(Own \/ Repairs)

-----------------------------------------------------------------------------
(* What must hold. The numbers are those of docs/explanation/guarantees.md. *)

AtWork == {w \in Workers : worker[w].at \in {"run", "look", "checked", "recorded", "leave"}
                           /\ Mine(w)}

\* R1, the other half: nothing is handed out, or in line, that was not accepted.
OnlyAccepted ==
  \A i \in Instances :
    row[i] = "none" => \/ gate.place[i] \in {"none", "reserved", "admitted"}
                       \/ (gate.place[i] = "expired" /\ gate.attempt[i] = 0)
\* R2. What runs is adopted without asking for room where its slot was lost.
WithinLimits ==
  ~disturbed => Cardinality(gate.slots) <= Slots /\ Cardinality(AtWork) <= Slots
SlotsAreGiven ==
  [][\/ Cardinality(gate'.slots) <= Slots
     \/ Cardinality(gate'.slots) <= Cardinality(gate.slots)
     \/ AdoptGate \/ RebuildAdopt]_vars
\* R3
SlotsHaveHolders == gate.slots = {i \in Instances : gate.place[i] \in Held}
\* R4
OneRunsAnAttempt ==
  \A v, w \in AtWork : Of(v) = Of(w) /\ Att(v) = Att(w) => v = w
EndsStay ==
  [][\A i \in Instances : /\ row[i] \in Over => row'[i] = row[i]
                          /\ row_attempt'[i] >= row_attempt[i]]_vars
OnlyTheNewestWrites ==
  [][\A w \in Workers : (Settle(w) \/ SuspendRow(w) \/ HandBack(w)) /\ row' # row => Mine(w)]_vars
\* R5
NoOrphans == row[Parent] \in Over => row[Child] \notin Live
\* R10
OpensFilled ==
  [][RebuildOpen => \A i \in DOMAIN rebuilder[2] :
       row[i] \in Live => gate.place[i] # "none"]_vars
\* R1, R3, R6, R10: once faults stop, everything ends, and nothing is held any more.
AllOver ==
  /\ \A i \in Instances : row[i] \notin Live /\ gate.place[i] = "none"
  /\ gate.slots = {} /\ gate.open
EverythingEnds == <>[]AllOver
=============================================================================
