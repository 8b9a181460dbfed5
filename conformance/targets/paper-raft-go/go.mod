module lockstep/paper-raft-go

go 1.21
