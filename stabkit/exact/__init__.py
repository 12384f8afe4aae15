"""The user's program replayed beside itself. So far one body: native arithmetic with a float64 shadow, uncertified."""
