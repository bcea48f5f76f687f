"""No others yet."""


def tensorboard(v):
    return "-"


def trackio(v, p):
    return "-"
