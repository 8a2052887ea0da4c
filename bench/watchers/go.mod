module watchers

go 1.19
